# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a teacher does in a training, and the options that bring one into it."""

import argparse
import contextlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from espnet_prune.distill import losses, matching
from espnet_prune.distill.capture import CTCS, DECODERS, Capture, Head
from espnet_prune.distill.config import DistillConf
from espnet_prune.distill.projections import Projections
from espnet_prune.distill.teacher import Teacher, TeacherOutput, load_teacher
from espnet_prune.structure import Structure, block_lists
from espnet_prune.tasks import KEY
from espnet_prune.train.extensions import Extension, extensions
from espnet_prune.train.hooks import SideState, TrainHook
from espnet_prune.train.loss_means import LossMix
from espnet_prune.train.ranks import Part, mean_over_ranks
from espnet_prune.units.blocks import listed, width_of
from espnet_prune.utils import UserError, load_tensors


class DistillHook(TrainHook):
    """Distils from a teacher of the same width and tokens.

    Args:
        conf: Weights and variants of the losses.
        student: The model that learns.
        teacher: The model of the same task that it learns from.
        widths: `Structure.widths()` of the student, as in the configuration of a
            pruned encoder: lists over the kept blocks, 0 where a module is removed.

    Attributes:
        kept_blocks: Teacher index of every student block, where blocks were removed.
        existing: Whether anything is left in every student block; None: everywhere.

    Raises:
        UserError: `conf.layers` names a block that the teacher does not have, or,
            matched by number, only blocks that are removed; or `conf.projections` a
            file that is missing or of another width.
    """

    name = "distill"

    def __init__(
        self,
        conf: DistillConf,
        student: torch.nn.Module,
        teacher: torch.nn.Module,
        widths: Optional[Mapping[str, Any]] = None,
    ):
        self.conf, number = conf, len(listed(student.encoder))
        self.kept_blocks = (widths or {}).get("kept_blocks")
        lists = block_lists(widths or {}).values()
        alive = [any(row) for row in zip(*lists)]
        self.existing = alive if len(alive) == number else None
        layers: List[int] = []
        if conf.w_layer > 0:
            layers = (
                losses.default_layers(len(listed(teacher.encoder)), conf.layers)
                if isinstance(conf.layers, int)
                else list(conf.layers)
            )
        normalize = getattr(student, "normalize", None)
        self.teacher = Teacher(teacher, layers, conf.block_input, normalize)
        if layers and conf.matching == "fixed":
            left = self.existing or [True] * number
            if not self._match_fixed(left) and not conf.block_input:
                raise UserError(
                    f"distill_conf: of layers {self.teacher.layers} nothing is left in "
                    "this model, so with matching: fixed no hidden state would be "
                    "compared; name others, or set matching: nearest_in_order"
                )
        self.projections: Optional[Projections] = None
        if conf.projections:
            self.projections = Projections(width_of(teacher.encoder))
            if isinstance(conf.projections, str):
                self.projections.set_state(load_tensors(conf.projections))
        self._pass: Any = None

    @contextlib.contextmanager
    def watch(self, model: torch.nn.Module) -> Iterator[None]:
        """Keep what flows through the model, then ask the teacher about the same."""
        with Capture(model, blocks=self.conf.w_layer > 0) as seen:
            yield
        self._pass = seen, self._ask(seen)

    def _ask(self, seen: Capture) -> TeacherOutput:
        """Run the teacher on what the student saw, under the same autocast.

        Raises:
            UserError: The teacher's encoder or postencoder makes another number of
                frames.
        """
        wanted = [*CTCS] if self.conf.w_ctc > 0 else []
        wanted += DECODERS if self.conf.w_att > 0 else ()
        answer = self.teacher(seen, wanted)
        if not torch.equal(answer.lengths.cpu(), seen.lengths.cpu()):
            raise UserError(
                "the teacher's encoder makes another number of frames than the "
                "student's; both need the same input_layer"
            )
        for theirs, ours in zip(answer.encoded[1::2], seen.encoded[1::2]):
            if not torch.equal(theirs.cpu(), ours.cpu()):
                raise UserError(
                    "the teacher's postencoder makes another number of frames than "
                    "the student's; both need the same one"
                )
        return answer

    def losses(self, model: torch.nn.Module) -> Dict[str, Part]:
        """Return the distillation losses that have a weight."""
        (seen, answer), self._pass = self._pass, None
        parts = {}
        if answer.hidden is not None:
            parts["kd_layer"] = self._hidden(model, seen, answer)
        blank = getattr(model, "blank_id", 0) if self.conf.blank_weight else -1
        for loss, names in (("kd_ctc", CTCS), ("kd_att", DECODERS)):
            found = [
                self._said(seen.heads[name], answer.logits[name], blank)
                for name in names
                if name in answer.logits
            ]
            if found:
                parts[loss] = _over_all(found)
        return parts

    def _said(self, head: Head, theirs: torch.Tensor, blank: int) -> Part:
        """Return the loss on what a head says."""
        decoder = head.tokens is not None
        lengths = head.tokens[1] if decoder else head.lengths
        mask = losses.valid_mask(lengths, head.logits.size(1))
        blank = -1 if decoder else blank
        loss = losses.logit_kl(head.logits, theirs, mask, self.conf.temperature, blank)
        weights = losses.position_weights(theirs[mask], blank)
        return Part(loss, mask.sum() if decoder else weights.sum().clamp_min(1e-6))

    def _hidden(
        self, model: torch.nn.Module, seen: Capture, answer: TeacherOutput
    ) -> Part:
        """Return the loss on hidden states."""
        mask = losses.valid_mask(seen.lengths, seen.blocks[0].size(1))
        pairs = [
            (self._project(seen.blocks[j][mask], "blocks"), answer.hidden[i])
            for i, j in self.match(seen.blocks, answer, mask, model.open_blocks())
        ]
        if answer.block_input is not None:
            entering = self._project(seen.block_input[mask], "input")
            pairs.append((entering, answer.block_input[0]))
        if pairs:
            loss = losses.hidden_loss(pairs, self.conf.distance)
        else:
            loss = seen.blocks[-1].float().sum() * 0.0
        return Part(loss, mask.sum())

    def _project(self, hidden: torch.Tensor, name: str) -> torch.Tensor:
        if self.projections is None:
            return hidden
        return self.projections(hidden.float(), name)

    def _match_fixed(self, exists: List[bool]) -> matching.Pairs:
        return matching.match_fixed(
            self.teacher.layers, exists, self.teacher.blocks, self.kept_blocks
        )

    def match(
        self,
        blocks: List[torch.Tensor],
        answer: TeacherOutput,
        mask: torch.Tensor,
        open_now: Optional[List[bool]] = None,
    ) -> matching.Pairs:
        """Choose (position in teacher layers, student block) pairs.

        Args:
            blocks: Outputs of the student's blocks (#batch, L, D).
            answer: What the teacher says.
            mask: Valid frames (#batch, L).
            open_now: Which blocks do something in this pass; None for all.
        """
        exists = self.existing or [True] * len(blocks)
        if open_now is not None:
            exists = [a and b for a, b in zip(exists, open_now)]
        if self.conf.matching == "fixed":
            return self._match_fixed(exists)
        with torch.no_grad():
            distance = losses.pairwise_mse(
                answer.hidden, losses.gather_valid(blocks, mask)
            )
            # all ranks match the same blocks
            distance = mean_over_ranks(distance, mask.sum())
        if self.conf.matching == "nearest":
            return matching.match_nearest(distance, exists)
        return matching.match_in_order(distance, exists)


def _over_all(parts: List[Part]) -> Part:
    """Return the loss over all positions of several heads."""
    if len(parts) == 1:
        return parts[0]
    whole = torch.stack([part.count for part in parts]).sum()
    return Part(sum(part.value * part.count for part in parts) / whole, whole)


def distil(
    model: torch.nn.Module,
    teacher: torch.nn.Module,
    conf: DistillConf,
    widths: Optional[Mapping[str, Any]] = None,
) -> DistillHook:
    """Make a `Hooked` model learn from a teacher; see `DistillHook`."""
    set_losses(model, conf)
    hook = DistillHook(conf, model, teacher, widths)
    model.add_hook(hook)
    if hook.projections is not None:
        state = SideState("projections", hook.projections, "projections.pth")
        model.add_hook(state)
    return hook


def set_losses(model: torch.nn.Module, conf: DistillConf) -> None:
    """Set the weights of all losses; they hold for a training without a teacher too."""
    weights = {
        "asr": conf.w_asr,
        "kd_layer": conf.w_layer,
        "kd_ctc": conf.w_ctc,
        "kd_att": conf.w_att,
    }
    model.labels = conf.labels
    model.mix = LossMix(
        weights,
        conf.normalise,
        momentum=conf.momentum,
        ratio_limit=conf.ratio_limit,
    )


class Distilled(Extension):
    """A training with a teacher: `--distill_conf`, `--teacher_config`, ..."""

    what = "a teacher"

    def add_options(self, group: Any) -> None:
        group.add_argument(
            "--distill_conf",
            action=NestedDictAction,
            default=dict(),
            help="Weights and variants of the distillation losses",
        )
        group.add_argument(
            "--teacher_config",
            type=str_or_none,
            default=None,
            help="config.yaml of the teacher (default: beside --teacher_model)",
        )
        group.add_argument(
            "--teacher_model",
            type=str_or_none,
            default=None,
            help="Checkpoint of the teacher; switches distillation on",
        )

    def wanted(self, args: argparse.Namespace) -> bool:
        given = getattr(args, "distill_conf", None)
        conf = DistillConf.from_dict(given)
        asked = bool(given or getattr(args, "teacher_model", None))
        return asked and conf.needs_teacher

    def needs_trainer(self, args: argparse.Namespace) -> str:
        conf = DistillConf.from_dict(args.distill_conf)
        return "projections of distill_conf" if conf.projections else ""

    def check(self, args: argparse.Namespace) -> None:
        DistillConf.from_dict(args.distill_conf)

    def files(self, args: argparse.Namespace) -> List[Tuple[str, Any]]:
        names = ("teacher_model", "teacher_config")
        return [(name, getattr(args, name)) for name in names]

    def labels(self, args: argparse.Namespace) -> bool:
        return (args.distill_conf or {}).get("labels", True)

    def extend(self, args: argparse.Namespace, model: torch.nn.Module) -> None:
        """Set the weights of the losses, and load the teacher if there is one.

        Where nothing is learned beside it, ESPnet's own loss stays as it is.

        Raises:
            UserError: A teacher that is missing or does not fit.
        """
        conf = DistillConf.from_dict(getattr(args, "distill_conf", None))
        if any(e.adds_loss and e.wanted(args) for e in extensions()):
            set_losses(model, conf)
        if self.wanted(args):
            files = args.teacher_config, args.teacher_model
            teacher = load_teacher(*files, model, getattr(args, KEY, None))
            distil(model, teacher, conf, _widths(args))


def _widths(args: argparse.Namespace) -> Mapping[str, Any]:
    """Return what is left of the encoder, as far as anything says it.

    A model that is written as a stock class does not say which blocks it has kept; the
    structure.json beside its config.yaml does.
    """
    widths = (args.encoder_conf or {}).get("structure")
    beside = Path(getattr(args, "base_config", None) or "").parent / "structure.json"
    if not widths and getattr(args, "base_config", None) and beside.is_file():
        widths = Structure.load(beside)["encoder"].widths()
    return widths or {}


EXTENSION = Distilled()

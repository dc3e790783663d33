# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's hybrid CTC/attention model plus gates and distillation while training."""

from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet_prune.distill import losses, matching
from espnet_prune.distill.capture import Capture
from espnet_prune.distill.config import DistillConf
from espnet_prune.distill.projections import Projections
from espnet_prune.distill.teacher import Teacher, TeacherOutput
from espnet_prune.structure import BLOCK_FIELDS
from espnet_prune.train.hooks import GateHook, SideState, TrainHook
from espnet_prune.train.loss_means import LossMeans
from espnet_prune.train.ranks import Part, mean_over_ranks, share
from espnet_prune.utils import UserError, load_tensors

PARTS = ("asr", "layer", "ctc", "att")


class PruneASRModel(ESPnetASRModel):
    """`ESPnetASRModel` whose training loss knows gates and a teacher.

    Without `add_gates` and `add_teacher` it is the stock model. Validation and
    inference are always the stock forward, with deterministic masks if gates are on.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gates: Optional[torch.nn.Module] = None
        self.teacher: Optional[Teacher] = None
        self.distill_conf = DistillConf(w_layer=0.0, w_ctc=0.0, w_att=0.0)
        self.means = LossMeans(PARTS)
        self.projections: Optional[Projections] = None
        # teacher index of every student block, where blocks were removed
        self.kept_blocks: Optional[List[int]] = None
        # whether anything is left in every student block; None means everywhere
        self.existing: Optional[List[bool]] = None
        self.last_stats: Dict[str, torch.Tensor] = {}

    def add_gates(self, gates: torch.nn.Module) -> None:
        """Train with gates that are already attached to the encoder."""
        self.gates = gates

    def add_teacher(self, model: torch.nn.Module, conf: DistillConf) -> None:
        """Distil from `model`, an `ESPnetASRModel` of the same width and tokens.

        Raises:
            UserError: `conf.layers` names a block that the teacher does not have, or,
                matched by number, only blocks that are gone; or `conf.projections` a
                file that is missing or of another width.
        """
        layers: List[int] = []
        if conf.w_layer > 0:
            layers = (
                losses.default_layers(len(model.encoder.encoders), conf.layers)
                if isinstance(conf.layers, int)
                else list(conf.layers)
            )
        self.teacher = Teacher(model, layers, conf.block_input)
        if layers and conf.matching == "fixed":
            left = self.existing or [True] * len(self.encoder.encoders)
            if not self._match_fixed(left) and not conf.block_input:
                raise UserError(
                    f"distill_conf: of layers {self.teacher.layers} nothing is left in "
                    "this model, so with matching: fixed no hidden state would be "
                    "compared; name others, or set matching: nearest_in_order"
                )
        if conf.projections:
            self.projections = Projections(model.encoder.output_size())
            if isinstance(conf.projections, str):
                self.projections.set_state(load_tensors(conf.projections))

    def set_conf(self, conf: DistillConf) -> None:
        """Set loss weights; they hold for gated training without a teacher too."""
        self.distill_conf = conf
        self.means.momentum = conf.momentum
        self.means.ratio_limit = conf.ratio_limit

    def set_structure(self, widths: Mapping[str, Any]) -> None:
        """Tell which blocks of the teacher the student still has.

        Args:
            widths: `Structure.widths()`, as in the configuration of a pruned encoder:
                lists over the kept blocks, 0 where a module is gone.
        """
        self.kept_blocks = widths.get("kept_blocks")
        lists = [v for k, v in widths.items() if k in BLOCK_FIELDS and v]
        alive = [any(row) for row in zip(*lists)]
        self.existing = alive if len(alive) == len(self.encoder.encoders) else None

    def train_hooks(self) -> List[TrainHook]:
        """Return what the trainer has to call."""
        hooks: List[TrainHook] = [SideState("loss_means", self.means)]
        if self.projections is not None:
            state = SideState("projections", self.projections, "projections.pth")
            hooks.append(state)
        return hooks + ([GateHook(self)] if self.gates is not None else [])

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: Optional[torch.Tensor] = None,
        text_lengths: Optional[torch.Tensor] = None,
        **kwargs,
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]:
        """Compute the loss.

        Args:
            speech: (#batch, samples) or features (#batch, frames, F).
            speech_lengths: (#batch,).
            text: Token ids (#batch, U), padded with -1; not used without labels.
            text_lengths: (#batch,).
            kwargs: What else a batch holds, such as `utt_id`.

        Returns:
            Loss (1,), statistics and batch size, as ESPnet's trainer expects. The
            statistic `loss` is ESPnet's own loss (without labels, that on hidden
            states), `loss_total` is what is minimised.
        """
        inputs = (speech, speech_lengths, text, text_lengths)
        conf, training = self.distill_conf, self.training
        if conf.labels and (
            not training or (self.gates is None and self.teacher is None)
        ):
            return super().forward(*inputs, **kwargs)
        if training and self.gates is not None:
            self.gates.train_step_begin()
        with Capture(
            self, blocks=conf.w_layer > 0 and self.teacher is not None
        ) as seen:
            if conf.labels:
                loss, stats, weight = super().forward(*inputs, **kwargs)
            else:
                self.encode(speech, speech_lengths)
                stats, weight = {}, speech.new_tensor(speech.size(0))
        answer = self._ask(seen)
        found = {"asr": Part(loss.mean(), weight.sum())} if conf.labels else {}
        with torch.autocast(speech.device.type, enabled=False):
            if answer is not None:
                found.update(self._distill(seen, answer))
            if not training:
                loss = found["layer"].value
                stats["loss"] = loss.detach()
                return force_gatherable((loss, stats, weight), speech.device)
            parts, whole = share(found, weight.sum())
            if not conf.labels:
                stats["loss"] = whole["layer"]
            total = self._weigh(parts, whole)
            extra = {f"kd_{k}": v for k, v in whole.items() if k != "asr"}
            if self.gates is not None:
                penalty, gate_stats = self.gates.regulariser()
                total = total + penalty
                extra.update(gate_stats)
        stats.update(extra, loss_total=total.detach())
        self.last_stats = stats
        return force_gatherable((total, stats, weight), speech.device)

    def _weigh(
        self, parts: Dict[str, torch.Tensor], whole: Dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return the weighted sum of the losses; see `share` for both arguments."""
        conf = self.distill_conf
        total = torch.zeros((), device=next(iter(parts.values())).device)
        weights = {name: getattr(conf, f"w_{name}") for name in parts}
        for name, part in parts.items():
            scaled = self.means(name, part, whole[name]) if conf.normalise else part
            total = total + weights[name] * scaled.float()
        if conf.normalise and sum(weights.values()) > 0:
            # about 1, however many terms: the budget's penalty is tuned to that
            total = total / sum(weights.values())
        return total

    def _ask(self, seen: Capture) -> Optional[TeacherOutput]:
        """Run the teacher on what the student saw, under the same autocast.

        Raises:
            UserError: The teacher's encoder or postencoder makes another number of
                frames.
        """
        if self.teacher is None:
            return None
        conf = self.distill_conf
        tokens = seen.decoder_inputs if conf.w_att > 0 else None
        answer = self.teacher(
            seen.feats.detach(),
            seen.feats_lengths,
            tokens,
            ctc=conf.w_ctc > 0,
            hidden=seen.hidden,
        )
        for name, remedy, theirs, ours in (
            ("encoder", "input_layer", answer.lengths, seen.lengths),
            ("postencoder", "one", answer.output_lengths, seen.output_lengths),
        ):
            if not torch.equal(theirs.cpu(), ours.cpu()):
                raise UserError(
                    f"the teacher's {name} makes another number of frames than the "
                    f"student's; both need the same {remedy}"
                )
        return answer

    def _distill(self, seen: Capture, answer: TeacherOutput) -> Dict[str, Part]:
        """Return the distillation losses that have a weight."""
        conf = self.distill_conf
        parts = {}
        if answer.hidden is not None:
            parts["layer"] = self._hidden(seen, answer)
        if answer.ctc_logits is not None and seen.ctc_logits is not None:
            mask = losses.valid_mask(seen.output_lengths, seen.ctc_logits.size(1))
            blank = self.blank_id if conf.blank_weight else -1
            loss = losses.logit_kl(
                seen.ctc_logits, answer.ctc_logits, mask, conf.temperature, blank
            )
            weights = losses.position_weights(answer.ctc_logits[mask], blank)
            parts["ctc"] = Part(loss, weights.sum().clamp_min(1e-6))
        if answer.decoder_logits is not None and seen.decoder_logits is not None:
            mask = losses.valid_mask(
                seen.decoder_inputs[1], seen.decoder_logits.size(1)
            )
            loss = losses.logit_kl(
                seen.decoder_logits, answer.decoder_logits, mask, conf.temperature
            )
            parts["att"] = Part(loss, mask.sum())
        return parts

    def _hidden(self, seen: Capture, answer: TeacherOutput) -> Part:
        """Return the loss on hidden states."""
        mask = losses.valid_mask(seen.lengths, seen.blocks[0].size(1))
        pairs = [
            (self._project(seen.blocks[j][mask], "blocks"), answer.hidden[i])
            for i, j in self._match(seen.blocks, answer, mask)
        ]
        if answer.block_input is not None:
            entering = self._project(seen.block_input[mask], "input")
            pairs.append((entering, answer.block_input[0]))
        if pairs:
            loss = losses.hidden_loss(pairs, self.distill_conf.distance)
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

    def _exists(self, number: int) -> List[bool]:
        """Say of which blocks anything is left, under the present masks."""
        exists = self.existing or [True] * number
        if self.gates is not None:
            open_now = self.gates.block_exists().tolist()
            exists = [a and b for a, b in zip(exists, open_now)]
        return exists

    def _match(
        self, blocks: List[torch.Tensor], answer: TeacherOutput, mask: torch.Tensor
    ) -> matching.Pairs:
        """Choose (position in teacher layers, student block) pairs."""
        exists = self._exists(len(blocks))
        if self.distill_conf.matching == "fixed":
            return self._match_fixed(exists)
        with torch.no_grad():
            distance = losses.pairwise_mse(
                answer.hidden, losses.gather_valid(blocks, mask)
            )
            # all ranks match the same blocks
            distance = mean_over_ranks(distance, mask.sum())
        if self.distill_conf.matching == "nearest":
            return matching.match_nearest(distance, exists)
        return matching.match_in_order(distance, exists)

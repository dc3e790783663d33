# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The frozen dense model that a student learns from."""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple, Union

import torch

from espnet_prune.checkpoints import read_weights
from espnet_prune.distill.capture import Capture, first, watch_block_input
from espnet_prune.distill.losses import gather_valid, valid_mask
from espnet_prune.models import build_model, read_model_config
from espnet_prune.state_dicts import load_strictly
from espnet_prune.units.blocks import listed, width_of
from espnet_prune.units.chunks import frames_of
from espnet_prune.utils import UserError


@dataclasses.dataclass
class TeacherOutput:
    """What the teacher says about one batch.

    Attributes:
        hidden: Selected block outputs (H, N, D), N = valid frames, or None.
        block_input: What enters the first block (1, N, D), or None.
        lengths: Valid encoder frames (#batch,).
        encoded: What `encode` returned, see `Capture`.
        logits: What heads say, by name: (#batch, L', V), of decoders (#batch, U, V).
    """

    hidden: Optional[torch.Tensor]
    lengths: torch.Tensor
    encoded: List[torch.Tensor]
    logits: Dict[str, torch.Tensor]
    block_input: Optional[torch.Tensor] = None


class _Given(torch.nn.Module):
    """A front end that gives what it was told, whatever the speech."""

    feats: Tuple[torch.Tensor, torch.Tensor]

    def forward(
        self, speech: torch.Tensor, lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return features (#batch, L0, F) and their lengths (#batch,)."""
        return self.feats


def _own(value: Any) -> Any:
    """Copy ids and lengths: ESPnet writes into them, and gradients still need them."""
    ids = isinstance(value, torch.Tensor) and not value.is_floating_point()
    return value.clone() if ids else value


class Teacher:
    """A frozen model outside the module registry of the student.

    It has no place in the student's state_dict, optimizer or DDP wrapper, is always
    in eval mode, never needs gradients, and follows the features to their device.

    Features are the student's, after its SpecAugment and normalisation. Where the front
    end is learned, and may be cut, the teacher hears the speech by its own, without
    SpecAugment.

    Args:
        model: A model of any of ESPnet's tasks.
        layers: Block indices whose outputs are wanted, 0-based; negative indices
            count from the end.
        block_input: Whether the input of the first block is wanted.
        normalize: The student's normalisation, for a teacher with its own front end.

    Raises:
        UserError: A layer index is outside the teacher's blocks.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        layers: Sequence[int] = (),
        block_input: bool = False,
        normalize: Optional[torch.nn.Module] = None,
    ):
        self.model = model.eval().requires_grad_(False)
        self._given, frontend = _Given(), getattr(model, "frontend", None)
        model.specaug = model.normalize = None
        if frontend is not None and next(frontend.parameters(), None) is not None:
            model.normalize = normalize
        else:
            model.frontend = self._given
        self.num_blocks = len(listed(model.encoder))
        # numbers that the blocks had in a model that this one was cut from
        numbers = getattr(model.encoder, "kept_blocks", range(self.num_blocks))
        self.blocks = list(numbers)
        for layer in layers:
            if not -self.num_blocks <= layer < self.num_blocks:
                raise UserError(
                    f"distill_conf: layers names block {layer}, but the teacher has "
                    f"{self.num_blocks} blocks"
                )
        self.layers = sorted({layer % self.num_blocks for layer in layers})
        self.block_input = block_input
        self._device: Optional[torch.device] = None

    @torch.no_grad()
    def __call__(self, seen: Capture, heads: Collection[str] = ()) -> TeacherOutput:
        """Ask what the student was asked, about exactly the features that it saw.

        Args:
            seen: What was seen of the student; that of self-supervised masking too.
            heads: Names of heads that are wanted, among those that the student used.
        """
        model = self.model
        if self._device != seen.feats.device:
            model.to(seen.feats.device)
            self._device = seen.feats.device
        self._given.feats = seen.feats.detach(), seen.feats_lengths
        blocks: List[torch.Tensor] = []
        handles = [
            listed(model.encoder)[i].register_forward_hook(
                lambda module, args, output: blocks.append(first(output))
            )
            for i in self.layers
        ]
        entered: List[torch.Tensor] = []
        if self.block_input:
            handles.append(watch_block_input(model.encoder, entered.append))
        ends: List[torch.Tensor] = []
        handles.append(
            model.encoder.register_forward_hook(
                lambda module, args, output: ends.extend(output[:2])
            )
        )
        embed = getattr(model.encoder, "embed", None)
        args, named = seen.asked
        args = [_own(value) for value in args]
        named = {key: _own(value) for key, value in named.items()}
        try:
            if seen.hidden is not None:
                embed.to_hide = seen.hidden
            encoded = [first(part) for part in model.encode(*args, **named)]
        finally:
            if seen.hidden is not None:
                embed.to_hide = None
            for handle in handles:
                handle.remove()
        output, lengths = ends
        total = first(output).size(1)
        blocks = [frames_of(block, model.encoder, total) for block in blocks]
        states, entering = (
            (
                gather_valid(found, valid_mask(lengths, found[0].size(1)))
                if found
                else None
            )
            for found in (blocks, entered)
        )
        logits = {}
        for name, head in seen.heads.items():
            if name in heads:
                module, states_in = getattr(model, name), encoded[head.source]
                logits[name] = (
                    module.ctc_lo(states_in)
                    if head.tokens is None
                    else first(module(states_in, head.lengths, *head.tokens))
                )
        return TeacherOutput(states, lengths, encoded, logits, entering)


def load_teacher(
    config: Union[str, Path, None],
    model_file: Union[str, Path, None],
    student: torch.nn.Module,
    task: Optional[str] = None,
) -> torch.nn.Module:
    """Build the teacher and load it strictly.

    Args:
        config: `--teacher_config`; None means config.yaml beside the model file.
        model_file: `--teacher_model`.
        student: Checked to have the same tokens, feature size and width.
        task: ESPnet's task, or None for what the config looks like.

    Returns:
        torch.nn.Module: A model of the student's task without SpecAugment and
        normalisation, which the student applies for both.

    Raises:
        UserError: A file is missing or corrupt, the checkpoint does not fit its
            config key by key, or the teacher does not fit the student.
    """
    if not model_file:
        raise UserError(
            "distill_conf is given without a teacher; add --teacher_model FILE "
            "(and --teacher_config FILE if config.yaml is not beside it)"
        )
    model_file = Path(model_file)
    config = Path(config) if config else model_file.parent / "config.yaml"
    for option, path in (
        ("--teacher_model", model_file),
        ("--teacher_config", config),
    ):
        if not path.is_file():
            raise UserError(f"{option} {path}: no such file")
    args = read_model_config(config, task)
    state = read_weights(model_file)
    args.update(specaug=None, normalize=None, init=None)
    with torch.random.fork_rng(devices=[]):  # the random state stays as it was
        model = build_model(args)
    _check_fit(model, state, student, config)
    state = {k: v for k, v in state.items() if not k.startswith("normalize.")}
    state = {k: v for k, v in state.items() if not k.startswith("gates.")}
    remedy = f" under {config}; give the pair of one experiment"
    load_strictly(model, state, f"--teacher_model {model_file}", remedy)
    logging.info(f"Teacher: {model_file}")
    return model


def _check_fit(model, state, student, config) -> None:
    """Refuse a teacher whose tokens, features or width differ from the student's."""
    both = (model, student)
    for name in ("token list", "src_token list"):
        theirs, own = (getattr(m, name.replace(" ", "_"), None) or () for m in both)
        if list(theirs) != list(own):
            raise UserError(
                f"--teacher_config {config}: its {name} differs from the student's"
            )
    width, own = (width_of(m.encoder) for m in both)
    rows = [(f"encoder width {width}", width, own, "")]
    for name in ("preencoder", "postencoder"):
        kinds = [type(getattr(m, name, None)).__name__ for m in both]
        rows.append((f"{name} {kinds[0]}", *kinds, "; both need the same"))
    frontends = [getattr(m, "frontend", None) for m in both]
    if None not in frontends:
        size, own = (frontend.output_size() for frontend in frontends)
        rows.append((f"{size} features a frame", size, own, ""))
    for what, theirs, ours, remedy in rows:
        if theirs != ours:
            raise UserError(
                f"--teacher_config {config}: {what}, but the student has {ours}{remedy}"
            )
    for name in ("mean", "std"):
        theirs = state.get(f"normalize.{name}")
        ours = getattr(getattr(student, "normalize", None), name, None)
        if theirs is None or ours is None:
            continue
        if theirs.shape != ours.shape or not torch.allclose(
            theirs.float(), ours.float().cpu(), rtol=1e-3, atol=1e-3
        ):
            logging.warning(
                f"The teacher was trained with another feature normalisation "
                f"({name} differs): it now sees the student's"
            )
            return

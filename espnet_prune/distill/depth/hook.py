# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Shallow passes beside each training step, and the option that brings them into one.

In-place distillation by the sandwich rule (Yu and Huang, ICCV 2019), over depth, not
width: the whole model learns from the labels by ESPnet's own loss, the smallest depth
and a random one from the labels and from what the whole says of the same frames. The
passes share all that the whole has done before the first block that is left out: with
`order: first` there is nothing more to run than the last norm, CTC and the losses.
"""

import argparse
import contextlib
import functools
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from espnet2.utils.nested_dict_action import NestedDictAction
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from espnet_prune.distill.depth.conf import KEY, DepthConf
from espnet_prune.distill.losses import logit_kl, valid_mask
from espnet_prune.train.extensions import Extension, extensions
from espnet_prune.train.hooks import TrainHook
from espnet_prune.train.loss_means import LossMix
from espnet_prune.units.blocks import BlockRunner, State
from espnet_prune.utils import UserError


class DepthHook(TrainHook):
    """Runs shallower depths of what a model has just seen.

    Args:
        conf: Which depths, and what they learn; `DepthConf.of` comes before.
        model: An ESPnet CTC model.
        seed: Of the depths that are drawn.

    Attributes:
        step_count: Batches so far, by which depths are drawn.
    """

    name = "depth"

    def __init__(self, conf: DepthConf, model: nn.Module, seed: int = 0) -> None:
        self.conf, self.seed, self.step_count = conf, seed, 0
        self.runner = BlockRunner(model.encoder, model.ctc, learns=True)
        self._found: Dict[str, torch.Tensor] = {}

    @contextlib.contextmanager
    def watch(self, model: nn.Module) -> Iterator[None]:
        """Keep what passes from block to block, then run the depths of this step."""
        states: Dict[int, State] = {}
        asked: List[Tuple[torch.Tensor, ...]] = []
        handles = [
            self.runner.blocks[0].register_forward_pre_hook(
                functools.partial(_enters, states)
            ),
            # the first call is the final branch; intermediate CTC comes later
            model.ctc.register_forward_pre_hook(lambda ctc, args: asked.append(args)),
        ]
        for i, block in enumerate(self.runner.blocks):
            hook = functools.partial(_leaves, states, i)
            handles.append(block.register_forward_hook(hook))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        number = len(self.runner)
        depths = self.conf.draw(number, self.seed, self.step_count)
        self.step_count += 1
        told = [self.learn(model, states, asked[0], depth) for depth in depths]
        ctc, kd = (torch.stack(values).mean() for values in zip(*told))
        drawn = depths[self.conf.sandwich :] or depths
        self._found = {
            "loss_depth_ctc": ctc,
            "loss_depth_kd": kd,
            "depth": ctc.new_tensor(sum(drawn) / len(drawn)),
        }

    def learn(
        self,
        model: nn.Module,
        states: Dict[int, State],
        asked: Tuple[torch.Tensor, ...],
        depth: int,
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Run one depth; return its CTC loss and its divergence from the whole.

        Args:
            model: The model.
            states: What was there before the first block (-1) and after each one.
            asked: What the CTC layer of the whole was given: hidden states (#batch, L,
                D), lengths (#batch,), text (#batch, U) and its lengths (#batch,).
            depth: How many blocks run.

        Returns:
            Two scalars, both in nats of an utterance.
        """
        whole, lengths, *text = asked
        kept = self.conf.kept(depth, len(self.runner))
        hidden = self.run(states, lengths, kept)
        loss = hidden.new_zeros(())
        if self.conf.w_ctc:
            loss = model.ctc(hidden, lengths, *text).float()
        if not self.conf.w_kd:
            return loss, loss.new_zeros(())
        with torch.no_grad():
            teacher = model.ctc.ctc_lo(whole)
        mask = valid_mask(lengths, whole.size(1))
        frames = mask.sum() / len(mask)
        return loss, logit_kl(model.ctc.ctc_lo(hidden), teacher, mask) * frames

    def run(
        self, states: Dict[int, State], lengths: torch.Tensor, kept: List[int]
    ) -> torch.Tensor:
        """Return what the encoder makes with some of its blocks alone.

        Args:
            states: What was there before the first block (-1) and after each one.
            lengths: Frames that the encoder returns (#batch,).
            kept: The blocks that run, 0-based.

        Returns:
            Hidden states (#batch, L, D).
        """
        common = 0
        while common < len(kept) and kept[common] == common:
            common += 1
        state, rest = states[common - 1], kept[common:]
        with as_at_run_time([self.runner.blocks[i] for i in rest]):
            for block in rest:
                state = self.runner.advance(state, block)
        return self.runner.finish(state._replace(lengths=lengths))[0]

    def penalty(self, model: nn.Module) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
        """Return what is added to ESPnet's loss; a mean over utterances, as that is."""
        found, self._found = self._found, {}
        total = self.conf.w_ctc * found["loss_depth_ctc"]
        total = total + self.conf.w_kd * found["loss_depth_kd"]
        stats = {name: value.detach() for name, value in found.items()}
        return total, {"loss_depth": total.detach(), **stats}

    def state_dict(self) -> Dict[str, torch.Tensor]:
        return {"step": torch.tensor(self.step_count)}

    def load_state_dict(self, state: Dict[str, torch.Tensor]) -> None:
        self.step_count = int(state["step"])


def _enters(states: Dict[int, State], block: Any, args: Any) -> None:
    x, mask, *_ = args
    states[-1] = State(x, mask, -1, mask.sum(-1))


def _leaves(
    states: Dict[int, State], i: int, block: Any, args: Any, output: Any
) -> None:
    x, mask, *_ = output
    states[i] = states[-1]._replace(x=x, mask=mask, last=i)


@contextlib.contextmanager
def as_at_run_time(blocks: List[nn.Module]) -> Iterator[None]:
    """Let blocks that run once more skip nothing, and keep their batch statistics.

    The statistics of a batch norm are those of the whole model; a shallow pass learns
    to do with them, as it will have to. Mixed with its own they would fit neither.
    """
    modules = [module for block in blocks for module in block.modules()]
    norms = [m for m in modules if isinstance(m, _BatchNorm) and m.training]
    rates = [(b, getattr(b, "stochastic_depth_rate", 0.0)) for b in blocks]
    try:
        for norm in norms:
            norm.training = False
        for block, _ in rates:
            block.stochastic_depth_rate = 0.0
        yield
    finally:
        for norm in norms:
            norm.training = True
        for block, rate in rates:
            block.stochastic_depth_rate = rate


class Nested(Extension):
    """A training in which every depth learns, `--depth_conf`."""

    what = "random depths"

    def add_options(self, group: Any) -> None:
        group.add_argument(
            f"--{KEY}",
            action=NestedDictAction,
            default=dict(),
            help="Run shallower depths in each step, with the whole as their teacher",
        )

    def wanted(self, args: argparse.Namespace) -> bool:
        return bool(getattr(args, KEY, None))

    def check(self, args: argparse.Namespace) -> None:
        if not self.wanted(args):
            return
        DepthConf.from_dict(args.depth_conf)
        for other in extensions():
            if other is not self and other.adds_loss and other.wanted(args):
                raise UserError(
                    f"{KEY}: {self.what} and {other.what} do not go into one training; "
                    "train for depth first, and distil or select afterwards"
                )

    def extend(self, args: argparse.Namespace, model: nn.Module) -> None:
        """Add the passes; what is left to the model is written into the options.

        Raises:
            UserError: A model of another kind, or see `DepthConf.of`.
        """
        if not self.wanted(args):
            return
        refused = _refusal(model)
        if refused:
            raise UserError(f"{KEY}: {refused}")
        number = len(model.encoder.encoders)
        conf = DepthConf.from_dict(args.depth_conf).of(number)
        args.depth_conf = conf.written()
        # the whole has ESPnet's own loss, as it is
        model.mix = LossMix({"asr": 1.0}, normalise=False)
        model.add_hook(DepthHook(conf, model, args.seed))


def _refusal(model: nn.Module) -> Optional[str]:
    """Say why a model has no depths to train; None if it has."""
    encoder = model.encoder
    if getattr(model, "ctc_weight", None) != 1.0:
        return (
            "depths learn by CTC alone, and this model has another loss; set "
            "ctc_weight: 1.0 in model_conf"
        )
    if not isinstance(getattr(encoder, "encoders", None), nn.Sequential):
        return (
            f"the blocks of {type(encoder).__name__} do not run one by one; take a "
            "conformer, transformer, branchformer or e_branchformer"
        )
    if hasattr(encoder, "block_size"):
        return (
            f"the blocks of {type(encoder).__name__} hand on more than frames; take a "
            "conformer, transformer, branchformer or e_branchformer"
        )
    if getattr(encoder, "layer_drop_rate", 0.0) > 0:
        return (
            "layer_drop_rate leaves out blocks of the whole, which is the teacher; set "
            "it to 0"
        )
    if getattr(model, "postencoder", None) is not None:
        return "a postencoder stands between the blocks and CTC; leave it out"
    return None


EXTENSION = Nested()

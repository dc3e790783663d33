# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Encoders of ESPnet's task asr_transducer: a list of blocks, each with its own sizes.

`body_conf` gives every block one `linear_size`, which all its modules share. So a unit
is one of each: a unit of both feed-forwards of a Conformer block, a channel of a
Branchformer's cgMLP, or such a channel with two units of both feed-forwards of an
E-Branchformer. Whatever is cut is a stock configuration.
"""

import contextlib
import dataclasses
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from torch import nn

from espnet_prune.compat import (
    BodyAttention,
    BodyBranchformer,
    BodyConformer,
    BodyConv1d,
    BodyEBranchformer,
    BodyEncoder,
)
from espnet_prune.families.base import Family
from espnet_prune.families.encoder import input_size_of, random_batch
from espnet_prune.price import FRAME, Clock
from espnet_prune.structure import Stack
from espnet_prune.units.graph import MaskPoint, Place, Slice, Unit
from espnet_prune.units.modules import PAIRS, PAIRS_OF_STEPS, STEPS, counts_of
from espnet_prune.units.pricing import WEIGHED, Parts, extra
from espnet_prune.utils import UserError

BLOCKS = "encoders.blocks"
FFN, GATED = "linear_units", "cgmlp_units"
# parts of `linear_size` that a unit of a list has
SHARE = {FFN: 1, GATED: 2}
_FEED_FORWARDS = ("feed_forward_macaron", "feed_forward")
LEFT = 5  # frames before a chunk that a stream sees in proofs


class Body(Family):
    """ESPnet's encoder with a `body_conf`; there is no class but the stock."""

    stock = "body_conf"  # configurations do not name the class

    def fits(self, module: nn.Module) -> bool:
        """Say whether this is ESPnet's encoder."""
        return type(module) is BodyEncoder

    def named_in(self, config: Mapping[str, Any]) -> Optional[str]:
        """Return what stands for the class, if a configuration has it."""
        return self.stock if self.stock in (config.get("encoder_conf") or {}) else None

    def parts(self, module: nn.Module) -> Parts:
        """Return units, counts and prices; see `Family.parts`."""
        blocks = list(module.encoders.blocks)
        parts = Parts([], {}, blocks_path=BLOCKS)
        parts.kept_blocks = list(getattr(module, "kept_blocks", range(len(blocks))))
        parts.clock = clock = _add_input(parts, module.embed)
        chain, stages = list(clock.chain), []
        for block in blocks:
            if isinstance(block, BodyConv1d):
                chain.append((block.padding + 1 - block.lorder, block.stride))
            stages.append(len(chain))
        ends = {"": len(chain), **{str(s): s for s in stages if s < len(chain)}}
        uses = {k: v for end, s in ends.items() for k, v in _uses(end, s).items()}
        if len(clock.chain) < len(chain):
            uses["entering"] = ((1, len(clock.chain), 1, 0),)
            parts.uses["embed.output"] = "entering"
        parts.clock = Clock(1, tuple(chain), {**clock.uses, **uses})
        for i, (block, stage) in enumerate(zip(blocks, stages)):
            end = "" if stage == len(chain) else str(stage)
            parts.units += _block_units(f"{BLOCKS}.{i}", block, i)
            _add_block(parts, f"{BLOCKS}.{i}", block, i, end)
        fields = list(dict.fromkeys(unit.field for unit in parts.units)) or [FFN]
        parts.blocks = counts_of(parts.units, fields, len(blocks))
        return parts

    def after_cut(self, block: nn.Module) -> None:
        """Let a block make the states of a stream for the channels that are left."""
        if hasattr(block, "linear_size"):
            block.linear_size = len(block.channel_proj1[0].weight)

    def draw(
        self, module: nn.Module, place: Place, generator: torch.Generator, trial: int
    ) -> Tuple[Any, List[int]]:
        """Return random features (N, T, input_size) of 1 to 4 utterances."""
        lengths = torch.randint(24, 180, (1 + trial % 4,), generator=generator)
        found = lengths.tolist()
        return random_batch(module, place.input_size, found, trial), found

    def run(self, module: nn.Module, inputs: Any, ctc: Any = None) -> torch.Tensor:
        """Return the output at real frames (n, C), then that of a stream."""
        x, lengths = inputs
        x = x.to(next(module.parameters()).dtype)
        with _whole_utterances(module):
            output, olens = module(x, lengths)
        real = torch.arange(output.size(1)) < olens[:, None]
        shorter = any(
            isinstance(block, BodyConv1d) and block.padding > block.lorder
            for block in module.encoders.blocks
        )
        streams = [] if shorter else [streamed(module, x[:1, : lengths[0]])]
        return torch.cat([output[real], *streams])

    def stock_conf(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> Optional[Dict[str, Any]]:
        """Return the arguments of the class, which can have any shape."""
        given = expanded(conf["body_conf"])
        rows: List[List[Any]] = []  # arguments, and how often they come
        for row, name in enumerate(kept.kept_blocks):
            block = dict(given[dense.kept_blocks.index(name)])
            for field, share in SHARE.items():
                if field in kept.blocks and kept.blocks[field][row]:
                    block["linear_size"] = share * kept.blocks[field][row]
            if rows and rows[-1][0] == block:
                rows[-1][1] += 1
            else:
                rows.append([block, 1])
        body = [{**b, "num_blocks": n} if n > 1 else b for b, n in rows]
        return {**conf, "body_conf": body}


def expanded(body: List[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """Return the arguments of every block.

    Args:
        body: `body_conf`, where `num_blocks` repeats one.
    """
    rows = []
    for given in body:
        times = given.get("num_blocks")
        one = {key: value for key, value in given.items() if key != "num_blocks"}
        rows += [one] * (1 if times is None else times)
    return rows


def _block_units(path: str, block: nn.Module, index: int) -> List[Unit]:
    """Return the units of a block: one vector, or none.

    Raises:
        UserError: A kind of block that nobody knows.
    """
    kinds = (BodyConformer, BodyBranchformer, BodyEBranchformer, BodyConv1d)
    if type(block) not in kinds:
        raise UserError(
            f"{path} is a {type(block).__name__}, which no unit covers; take "
            "conformer, branchformer, ebranchformer or conv1d"
        )
    if isinstance(block, BodyConv1d):
        return []
    gated = hasattr(block, "channel_proj1")
    if gated and not isinstance(block.conv_mod.norm, nn.LayerNorm):
        return []  # another norm over the channels makes each depend on all
    producers, points, consumers = [], [], []
    size, also = 0, ()
    if gated:
        size = block.channel_proj2.in_features
        for kind in ("weight", "bias"):
            first = f"channel_proj1.0.{kind}"
            producers += [Slice(first, 0), Slice(first, 0, offset=size)]
            producers += [Slice(f"conv_mod.{m}.{kind}", 0) for m in ("norm", "conv")]
        consumers.append(Slice("channel_proj2.weight", 1))
        points.append(MaskPoint("channel_proj2", "pre"))
        also = (MaskPoint("conv_mod.norm", "norm"),)
    group = SHARE[GATED] if gated else 1
    for name in _FEED_FORWARDS if hasattr(block, "feed_forward") else ():
        size = size or block.feed_forward.w_2.in_features
        producers += [Slice(f"{name}.w_1.{k}", 0, group) for k in ("weight", "bias")]
        consumers.append(Slice(f"{name}.w_2.weight", 1, group))
        points.append(MaskPoint(f"{name}.w_2", "pre", -1, group))
    unit = Unit(
        name=f"{path}.units",
        kind="cgmlp_channel" if gated else "ffn_unit",
        size=size,
        point=points[0],
        field=GATED if gated else FFN,
        index=index,
        block=index,
        producers=tuple(producers),
        consumers=tuple(consumers),
        also=(*points[1:], *also),
    )
    return [unit.inside("encoder", f"{path}.")]


def _add_block(parts: Parts, path: str, block: nn.Module, index: int, end: str) -> None:
    """Add how often the weights of a block are used, and what its products cost.

    Args:
        parts: What is added to.
        path: Path of the block.
        block: The block.
        index: Its position.
        end: End of the names of its uses, see `_uses`.
    """
    for name, layer in block.named_modules():
        if isinstance(layer, WEIGHED):
            steps = name.endswith(("linear_pos", "out_pos"))
            parts.uses[f"{path}.{name}"] = (STEPS if steps else FRAME) + end
    attention = getattr(block, "self_att", None)
    if isinstance(attention, BodyAttention):
        width = attention.num_heads * attention.d_k
        costs = {PAIRS + end: 2 * width}
        if hasattr(attention, "pos_bias_u"):  # else positions score by themselves
            costs[PAIRS_OF_STEPS + end] = width
        parts.extra.append(dataclasses.replace(extra((), **costs), block=index))


def _uses(end: str, stage: int) -> Dict[str, Any]:
    """Return how often weights are used behind some convolutions, by name."""
    return {
        FRAME + end: ((1, stage, 1, 0),),
        PAIRS + end: ((1, stage, 2, 0),),
        STEPS + end: ((2, stage, 1, 0), (-1, 0, 0, 0)),
        PAIRS_OF_STEPS + end: ((2, stage, 2, 0), (-1, stage, 1, 0)),
    }


def _add_input(parts: Parts, embed: nn.Module) -> Clock:
    """Add what stands before the blocks; return the time that it makes."""
    chain: List[Tuple[int, int]] = []
    layers = []
    for position, layer in enumerate(embed.conv):
        if isinstance(layer, nn.Conv2d):
            chain.append((layer.kernel_size[0] - 2 * layer.padding[0], layer.stride[0]))
            layers.append((position, len(chain), layer))
        elif isinstance(layer, nn.MaxPool2d):  # rounds up
            chain.append((layer.kernel_size - layer.stride + 1, layer.stride))
    width = embed.output_size if embed.output is None else embed.output.in_features
    parts.input_size = size = input_size_of(
        width // layers[-1][2].out_channels, chain, "encoder"
    )
    uses, bins = {}, [size]
    for kernel, stride in chain:
        bins.append((bins[-1] - kernel) // stride + 1)
    for position, stage, _ in layers:
        uses[f"conv{stage}"] = ((bins[stage], stage, 1, 0),)
        parts.uses[f"embed.conv.{position}"] = f"conv{stage}"
    return Clock(1, tuple(chain), uses)


@contextlib.contextmanager
def _whole_utterances(encoder: nn.Module) -> Iterator[None]:
    """Let attention see all frames, as ESPnet's decoding does: not random chunks."""
    given = encoder.dynamic_chunk_training
    encoder.dynamic_chunk_training = False
    try:
        yield
    finally:
        encoder.dynamic_chunk_training = given


@torch.no_grad()
def streamed(encoder: nn.Module, x: torch.Tensor, left: int = LEFT) -> torch.Tensor:
    """Return what an encoder says while an utterance comes in, (T', C).

    Args:
        encoder: An encoder in evaluation mode.
        x: Features (1, T, C); frames behind the last whole window are left out.
        left: Frames before a window that attention sees.
    """
    factor = encoder.embed.subsampling_factor
    hop, window = 4 * factor, 6 * factor + 3  # the context that ESPnet gives a window
    encoder.reset_cache(left, x.device)
    found, seen = [x.new_zeros(0, encoder.output_size)], torch.zeros(1, 1)
    for start in range(0, x.size(1) - window + 1, hop):
        part = x[:, start : start + window]
        length = torch.tensor([window])
        found.append(encoder.chunk_forward(part, length, seen, left)[0])
        seen = seen + len(found[-1])
    return torch.cat(found)

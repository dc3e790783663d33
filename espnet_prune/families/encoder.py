# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the families of encoders share: front ends, time, shapes of stock classes."""

import inspect
import logging
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type

import torch
from torch import nn

from espnet_prune.compat import (
    CONV2D_SUBSAMPLINGS,
    Conv2dSubsamplingWOPosEnc,
    ConvolutionalPositionalEmbedding,
    FastSelfAttention,
)
from espnet_prune.families.base import Family
from espnet_prune.families.covered import check_covered
from espnet_prune.price import Clock
from espnet_prune.structure import Stack
from espnet_prune.units.graph import Place, Unit
from espnet_prune.units.modules import (
    PAIRS,
    PAIRS_OF_STEPS,
    STEPS,
    attention_uses,
    counts_of,
    module_units,
    subsampling_out,
    subsampling_units,
)
from espnet_prune.units.narrow import moved_taps
from espnet_prune.units.pricing import Parts
from espnet_prune.units.stochastic_depth import block_rates
from espnet_prune.utils import UserError

MORE, TAPS = "frame_and_one", "taps"  # uses
# of a block: list of the Structure, module, its norm
Modules = Tuple[Tuple[str, str, str], ...]


class EncoderFamily(Family):
    """An encoder whose `encoders` are blocks behind an `embed`.

    Attributes:
        block: Class of its blocks.
        modules: What has units in a block, in the order in which it runs.
        children: Its parts; others with parameters are refused.
        uniform: Arguments of the stock class that give one width to every block, and
            the lists of a Structure that have it.
        equal: Lists that the stock class cannot change.
        kinds: Modules of its blocks that no other family has.
    """

    block: Type[nn.Module] = nn.Module
    modules: Modules = ()
    kinds: Tuple[Type[nn.Module], ...] = ()
    children: Tuple[str, ...] = (
        "embed",
        "encoders",
        "after_norm",
        "conditioning_layer",
    )
    uniform: Mapping[str, Sequence[str]] = {
        "linear_units": ("linear_units", "macaron_linear_units")
    }
    equal: Tuple[str, ...] = (
        "attention_heads",
        "conv_channels",
        "subsampling_channels",
    )

    def fits(self, module: nn.Module) -> bool:
        """Say whether the first block is of this family."""
        blocks = getattr(module, "encoders", None)
        return bool(blocks) and isinstance(blocks[0], self.block)

    def modules_of(self, block: nn.Module) -> Modules:
        """Return the modules of a block."""
        return self.modules

    def block_units(self, path: str, block: nn.Module, index: int) -> List[Unit]:
        """Return the units of a block, in the order in which they run."""
        units = []
        # a norm before a module goes with it, one after it stays
        before = getattr(block, "normalize_before", True)
        for field, name, norm in self.modules_of(block):
            units += module_units(
                f"{path}.{name}",
                getattr(block, name, None),
                field,
                index,
                f"{path}.{norm}" if before else None,
                field != "attention_heads" or not getattr(block, "concat_after", False),
                self.products(field, getattr(block, name, None)),
            )
        return units

    def products(
        self, field: str, module: Optional[nn.Module]
    ) -> Optional[Dict[str, int]]:
        """Return the MACs of one head's products where `module_units` cannot tell."""
        return None

    def more(self, parts: Parts, path: str, block: nn.Module, index: int) -> None:
        """Add to `parts` what a block costs beside its units."""
        for _, name, _ in self.modules_of(block):
            module = getattr(block, name, None)
            parts.uses.update(attention_uses(f"{path}.{name}", module))

    def parts(self, module: nn.Module) -> Parts:
        """Return units, counts and prices of an encoder; see `Family.parts`."""
        check_covered(module, self.children, self.kinds)
        blocks = list(module.encoders)
        kept = list(getattr(module, "kept_blocks", range(len(blocks))))
        parts = Parts([], {}, {}, {}, "encoders", kept)
        self._add_embed(parts, module)
        last = len(parts.clock.chain)
        for i, block in enumerate(blocks):
            parts.units += self.block_units(f"encoders.{i}", block, i)
            self.more(parts, f"encoders.{i}", block, i)
        table = self.modules_of(blocks[0])
        fields = [field for field, name, _ in table if _has(module, field, name)]
        parts.blocks = counts_of(parts.units, fields, len(blocks))
        times = 2 * len(getattr(module, "interctc_layer_idx", []))
        uses = {
            MORE: ((1, last, 1, 0), (1, 0, 0, 0)),
            # at every tap the CTC Linear, of the same size, runs before that layer
            TAPS: ((times, last, 1, 0),),
            PAIRS: ((1, last, 2, 0),),
            STEPS: ((2, last, 1, 0), (-1, 0, 0, 0)),
            PAIRS_OF_STEPS: ((2, last, 2, 0), (-1, last, 1, 0)),
        }
        parts.uses["conditioning_layer"] = TAPS
        for name, layer in module.named_modules():
            if isinstance(layer, ConvolutionalPositionalEmbedding):
                for conv, _ in layer.convs.named_children():
                    self.add_positions(
                        parts, f"{name}.convs.{conv}", layer.convs[int(conv)]
                    )
        clock = parts.clock
        parts.clock = Clock(clock.samples, clock.chain, {**clock.uses, **uses})
        return parts

    @staticmethod
    def add_positions(parts: Parts, path: str, conv: nn.Module) -> None:
        """Say how often a convolution for positions runs."""
        # with an even kernel it makes a frame more, which is cut off
        if isinstance(conv, nn.Conv1d) and conv.kernel_size[0] % 2 == 0:
            parts.uses[path] = MORE

    def _add_embed(self, parts: Parts, module: nn.Module) -> None:
        """Add what stands before the blocks."""
        embed = module.embed
        layers = getattr(embed, "conv", None)
        found = list(layers) if isinstance(layers, nn.Sequential) else []
        if isinstance(embed, (*CONV2D_SUBSAMPLINGS, Conv2dSubsamplingWOPosEnc)):
            convs = [m for m in found if isinstance(m, nn.Conv2d)]
            chain = tuple((m.kernel_size[0], m.stride[0]) for m in convs)
            parts.input_size = bins = _input_size(module, chain)
            uses = {}
            for i, (kernel, stride) in enumerate(chain):
                bins = (bins - kernel) // stride + 1
                uses[f"conv{i}"] = ((bins, i + 1, 1, 0),)
                parts.uses[f"embed.conv.{found.index(convs[i])}"] = f"conv{i}"
            parts.clock = Clock(1, chain, uses)
            parts.units += subsampling_units("embed", embed)
            parts.front["subsampling_channels"] = [m.out_channels for m in convs]
            parts.front_paths = ("embed.conv", f"embed.{subsampling_out(embed)}")
        elif any(isinstance(m, nn.Conv1d) for m in found):
            convs = [m for m in found if isinstance(m, nn.Conv1d)]
            parts.input_size = convs[0].in_channels
            chain = tuple((m.kernel_size[0], m.stride[0]) for m in convs)
            parts.clock = Clock(
                1, chain, {f"conv{i}": ((1, i + 1, 1, 0),) for i in range(len(chain))}
            )
            for i, conv in enumerate(convs):
                parts.uses[f"embed.conv.{found.index(conv)}"] = f"conv{i}"
        else:
            # a Branchformer's `embed` may be None
            inside = embed.modules() if isinstance(embed, nn.Module) else ()
            kinds = (nn.Linear, nn.Embedding)
            first = next((m for m in inside if isinstance(m, kinds)), None)
            size = module.output_size()
            parts.input_size = getattr(first, "in_features", 1 if first else size)

    def draw(
        self, module: nn.Module, place: Place, generator: torch.Generator, trial: int
    ) -> Tuple[Any, List[int]]:
        """Return random features or speech (N, T, input_size) of 1 to 4 utterances."""
        samples = 160 if self.samples(module) > 1 else 1
        count = 1 + trial % 4
        lengths = torch.randint(
            20 * samples, 180 * samples, (count,), generator=generator
        ).tolist()
        return random_batch(module, place.input_size, lengths, trial), lengths

    def samples(self, module: nn.Module) -> int:
        """Return how many samples of input count as one frame."""
        return 1

    def run(
        self, module: nn.Module, inputs: Any, ctc: Any = None, **more: Any
    ) -> torch.Tensor:
        """Return the output of an encoder at real frames; (n, C).

        Args:
            module: The encoder, dense or cut, in evaluation mode.
            inputs: Features or speech, and lengths.
            ctc: CTC of the model.
            **more: What else the encoder takes.
        """
        x, lengths = inputs
        # a Branchformer has no intermediate CTC
        knows = "ctc" in inspect.signature(module.forward).parameters
        x = x.to(next(module.parameters()).dtype) if x.is_floating_point() else x
        more.update({"ctc": ctc} if knows else {})
        output, olens, _ = module(x, lengths, **more)
        # intermediate CTC outputs may come along
        output = output[0] if isinstance(output, tuple) else output
        real = torch.arange(int(olens.max())) < olens[:, None]
        return output[:, : real.size(1)][real]

    def stock_conf(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> Optional[Dict[str, Any]]:
        """Return the arguments of the stock class; see `Family.stock_conf`.

        A stock class can have fewer blocks and other, but equal, widths. Blocks keep
        their rates of stochastic depth, except in a stock Transformer, which knows
        none: the function is the same, but further training skips no blocks.
        """
        if conf.get("structure") or not self.is_stock_shaped(conf, dense, kept):
            return None
        position = [dense.kept_blocks.index(block) for block in kept.kept_blocks]
        conf = self.fewer_blocks(conf, position)
        for key, fields in self.uniform.items():
            widths = [n for field in fields for n in kept.blocks.get(field, []) if n]
            if widths:
                conf[key] = self.argument(key, max(widths))
        if conf.get("interctc_layer_idx"):
            conf["interctc_layer_idx"] = moved_taps(
                conf["interctc_layer_idx"],
                position,
                self.taps_stay or conf.get("interctc_use_conditioning", False),
            )
        self.write_rates(conf, len(dense.kept_blocks), position)
        return conf

    @staticmethod
    def argument(key: str, width: int) -> int:
        """Return the argument of the stock class that means a width."""
        return width

    def is_stock_shaped(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> bool:
        """Say whether the stock class can have a shape."""
        position = [dense.kept_blocks.index(block) for block in kept.kept_blocks]
        own, full = dict(kept.fields()), dict(dense.fields())
        for fields in self.uniform.values():
            widths = {n for field in fields for n in own.get(field, [])}
            if len(widths) > 1 or 0 in widths:
                return False
        for field in self.equal:
            before = full.get(field)
            if before is not None and field in dense.blocks:
                before = [before[i] for i in position]
            if own.get(field) != before:
                return False
        return True

    # whether the blocks of the stock class know rates of stochastic depth
    has_rates = True
    # whether no intermediate CTC may be lost, even where it changes no output
    taps_stay = False

    def write_rates(
        self, conf: Dict[str, Any], blocks: int, position: Sequence[int]
    ) -> None:
        """Say stochastic depth in `conf` as the stock class understands it."""
        rate = conf.pop("stochastic_depth_rate", None)
        rule = conf.pop("stochastic_depth_rule", "constant")
        if rate is None:
            return
        rates = block_rates(rate, rule, blocks)
        rates = [rates[i] for i in position]
        if self.has_rates:
            conf["stochastic_depth_rate"] = rates
        elif any(rates):
            logging.info(
                f"Written as a stock {self.stock}, which has no stochastic depth; to "
                f"train on with it, set encoder: {self.pruned} and "
                f"stochastic_depth_rate: {[round(rate, 4) for rate in rates]}"
            )


def random_batch(encoder: nn.Module, size: int, lengths: List[int], seed: int) -> Any:
    """Return random input (N, T, input_size), zero after each utterance's length.

    T counts features, or samples for an encoder of raw speech.
    """
    generator = torch.Generator().manual_seed(seed)
    # a Branchformer's `embed` may be None
    modules = [] if encoder.embed is None else list(encoder.embed.modules())
    table = next((m for m in modules if isinstance(m, nn.Embedding)), None)
    if table is not None:
        shape = (len(lengths), max(lengths))
        x = torch.randint(table.num_embeddings, shape, generator=generator)
    else:
        x = torch.randn(len(lengths), max(lengths), size, generator=generator)
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    return x, torch.tensor(lengths)


def _has(encoder: nn.Module, field: str, name: str) -> bool:
    """Say whether an encoder has, or ever had, a module with units.

    Fastformer's attention has no heads that can go.
    """
    modules = [getattr(block, name, None) for block in encoder.encoders]
    if any(isinstance(module, FastSelfAttention) for module in modules):
        return False
    there = any(module is not None for module in modules)
    return there or field in getattr(encoder, "dense_fields", ())


def _input_size(encoder: nn.Module, convs: Sequence[Tuple[int, int]]) -> int:
    """Return the feature dimension that a Conv2d subsampling was made for.

    Stock encoders do not store it and several sizes lead to the same output Linear;
    the usual ones are tried first.
    """
    known = getattr(encoder, "input_size", None)
    if isinstance(known, int):
        return known
    last = [m for m in encoder.embed.conv if isinstance(m, nn.Conv2d)][-1]
    out = encoder.embed.get_submodule(subsampling_out(encoder.embed))
    bins = out.in_features // last.out_channels
    return input_size_of(bins, convs, type(encoder).__name__)


def input_size_of(bins: int, convs: Sequence[Tuple[int, int]], name: str) -> int:
    """Return the feature dimension of which convolutions leave some bins.

    Args:
        bins: What is left.
        convs: (kernel, stride) of the convolutions.
        name: Whose they are, for the error.

    Raises:
        UserError: There is none.
    """
    for size in (80, 83, 40, *range(1, 4096)):
        left = size
        for kernel, stride in convs:
            left = (left - kernel) // stride + 1
        if left == bins:
            return size
    raise UserError(f"{name}: no input size leads to {bins} bins")

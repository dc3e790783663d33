# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Parameters and multiply-accumulates (MACs) of an encoder as one polynomial.

The variables are the numbers of units kept. With integers the polynomial prices a
Structure exactly; with the expected counts of gates it is the differentiable budget
of L0 pruning; both run through the same terms.

An encoder has two parts, and every term belongs to one of them, so they sum to the
whole. "cnn" is a front end whose channels can be removed, with the Linear that takes
its last channels to the width of the encoder: what that Linear costs depends on those
channels alone. "transformer" is all the rest: blocks, positions, norms, and a front
end without such channels. No term mixes variables of both.

Counted are matrix products and convolutions. Softmax, norms, activations, biases and
embeddings are not, as in torch.utils.flop_counter on the math attention path.
"""

import dataclasses
from typing import Any, Dict, List, Mapping, Tuple, Union

import torch

from espnet_prune.structure import SEQUENTIAL, Structure

Term = Tuple[int, int, Tuple[str, ...]]  # parameters, MACs, variables multiplied
PARTS = ("cnn", "transformer")
WHOLE = "encoder"


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of an encoder for one utterance.

    Attributes:
        params: Number of parameters, without buffers.
        macs: Multiply-accumulates for the utterance length asked for.
    """

    params: int
    macs: int


class CostModel:
    """Prices an encoder at any number of kept units.

    Args:
        dense: Structure whose counts are the largest values of the variables.
        frames: Length of the utterance in input feature frames; `frames_of` says how
            many a model makes of some seconds, 1000 of 10 s with a 10 ms hop. Where raw
            speech comes in, a frame is 10 ms of samples (`Dims.frame_samples`), so that
            1000 are 10 seconds there too.

    Attributes:
        variables: Full count of every variable, by the name of its unit.
        terms: The polynomial: parameters, MACs, names of the factors.
        parts: Part that every variable belongs to.
    """

    def __init__(self, dense: Structure, frames: int = 1000) -> None:
        self.variables: Dict[str, int] = {}
        self.terms: List[Term] = []
        time = self._front_end(dense, frames)
        # the part "cnn" is what stands here by now, if it has variables at all
        front = set(self.variables)
        self._front_terms = len(self.terms) if front else 0
        for i in range(len(dense.kept_blocks)):
            self._block(dense, i, time)
        dims = dense.dims
        per_frame, fixed = dims.other_macs
        self.terms.append((dims.other_params, per_frame * time + fixed, ()))
        self.parts = {name: PARTS[name not in front] for name in self.variables}

    def _front_end(self, dense: Structure, time: int) -> int:
        """Add the subsampling; return the number of frames after it."""
        dims = dense.dims
        if dims.waves:
            return self._waves(dense, time * dims.frame_samples)
        bins, before, size = dims.input_size, (), 1
        for i, (kernel, stride) in enumerate(dims.convs):
            time = (time - kernel) // stride + 1
            bins = (bins - kernel) // stride + 1
            channels = dense.subsampling_channels[i]
            # the positions of the Conv2d in its Sequential, each followed by a ReLU
            name = f"embed.conv.{2 * i}.channels"
            self.variables[name] = channels
            area = kernel**2
            self.terms.append((area, time * bins * area, (*before, name)))
            self.terms.append((1, 0, (name,)))
            before = (name,)
        if dims.convs:
            d = dims.output_size
            self.terms.append((bins * d, time * bins * d, before))
            self.terms.append((d, 0, ()))
        for size, channels, kernel, stride in dims.conv1ds:
            time = (time - kernel) // stride + 1
            self.terms.append((0, time * size * channels * kernel, ()))
        return time

    def _waves(self, dense: Structure, time: int) -> int:
        """Add the convolutions over raw speech and the projection after them.

        Every term belongs to the convolutions, but for the projection's bias.
        """
        dims = dense.dims
        before: Tuple[str, ...] = ()
        for i, (kernel, stride) in enumerate(dims.waves):
            time = (time - kernel) // stride + 1
            name = f"embed.extractor.conv_layers.{i}.channels"
            self.variables[name] = dense.wave_channels[i]
            normed = dims.wave_norm == "layer" or (dims.wave_norm and i == 0)
            self.terms.append((kernel, time * kernel, (*before, name)))
            self.terms.append((int(dims.wave_bias) + 2 * int(normed), 0, (name,)))
            before = (name,)
        d = dims.output_size
        self.terms.append((d + 2, time * d, before))
        self.terms.append((d, 0, ()))
        return time

    def _module(
        self, name: str, part: str, count: int, const: int, unit: Tuple[int, int]
    ) -> None:
        """Add a module: its constant parameters, and parameters and MACs per unit."""
        self.variables[name] = int(count > 0)
        self.variables[f"{name}.{part}"] = count
        self.terms.append((const, 0, (name,)))
        self.terms.append((*unit, (name, f"{name}.{part}")))

    def _attention(self, dense: Structure, i: int, time: int, name: str) -> None:
        dims = dense.dims
        d, k = dims.output_size, dims.head_dim
        norm = 2 * d if dims.pre_norm else 0
        if dims.attention == "fast":
            heads = d // k
            params = 3 * (d * d + d) + 2 * (d * heads + heads) + norm
            macs = time * (3 * d * d + 2 * d * heads + 2 * d)
            self.terms.append((params, macs, ()))
        if dense.attention_heads is None:
            return
        params, macs = 4 * d * k + 3 * k, 4 * time * d * k + 2 * time**2 * k
        const = d + norm + (4 * k if dims.qk_norm else 0)
        if dims.attention == "gated":
            # the gate: one Linear(k, 8) for all heads, and a scale for each
            params, const, macs = params + 1, const + 8 * k + 8, macs + 8 * time * k
        elif dims.attention != "abs":
            params += d * k + 2 * k
            steps = 2 * time - 1 if dims.attention == "rel" else time
            macs += steps * d * k + time * steps * k
        heads = dense.attention_heads[i]
        self._module(name, "heads", heads, const, (params, macs))

    def _branches(self, dense: Structure, i: int, time: int) -> None:
        """Add attention, cgMLP and their merge."""
        dims, path = dense.dims, f"encoders.{i}"
        d = dims.output_size
        self._attention(dense, i, time, f"{path}.attn")
        # a branch is there if all variables of its term are
        branches: List[Tuple[str, ...]] = []
        if dims.attention != "none":
            branches.append(() if dims.attention == "fast" else (f"{path}.attn",))
        if dense.cgmlp_units is not None:
            name, kernel = f"{path}.cgmlp", dims.cgmlp_kernel
            unit = (3 * d + kernel + 5, time * (3 * d + kernel))
            self._module(name, "channels", dense.cgmlp_units[i], 3 * d, unit)
            if dims.cgmlp_linear:
                units = (name, f"{name}.channels")
                self.terms.append((1, time, (*units, f"{name}.channels")))
                self.terms.append((1, 0, units))
            branches.append((name,))
        if not dims.merge:
            return
        self.terms.append((d, 0, ()))
        square = (d * d, time * d * d)
        for branch in branches:
            self.terms.append((*square, branch))
            if dims.merge == "conv":
                kernel = d * dims.merge_kernel
                self.terms.append((kernel + d, time * kernel, branch))
            elif dims.merge == "learned_ave":
                # two scores per frame; the pooling has width d, or 1 without branch
                macs = 2 * time * d + d - time
                self.terms.append((2 * d + 1, macs, branch))
                self.terms.append((1, time, ()))
        if dims.merge in ("learned_ave", "fixed_ave"):
            # one projection for both: it is there if either is
            both = tuple(name for branch in branches for name in branch)
            self.terms.append((-square[0], -square[1], both))

    def _block(self, dense: Structure, i: int, time: int) -> None:
        dims = dense.dims
        d, path = dims.output_size, f"encoders.{i}"
        norm = 2 * d if dims.pre_norm else 0
        norms_kept = 0 if dims.pre_norm else 2 * d
        modules = 1
        if dims.encoder in SEQUENTIAL:
            self._attention(dense, i, time, f"{path}.self_attn")
        else:
            self._branches(dense, i, time)

        first, second = dims.ffn_kernels
        unit = (d * (first + second) + 1, time * d * (first + second))
        for name, counts in (
            ("feed_forward_macaron", dense.macaron_linear_units),
            ("feed_forward", dense.linear_units),
        ):
            if counts is not None:
                self._module(f"{path}.{name}", "units", counts[i], d + norm, unit)
                modules += 1
        if dense.conv_channels is not None:
            kernel, count = dims.cnn_kernel, dense.conv_channels[i]
            unit = (3 * d + kernel + 5, time * (3 * d + kernel))
            self._module(f"{path}.conv_module", "channels", count, d + norm, unit)
            modules += 1

        params = modules * norms_kept + (2 * d if dims.final_norm else 0)
        if dims.concat_after:
            params += 2 * d * d + d
        macs = 2 * time * d * d if dims.concat_after else 0
        self.terms.append((params, macs, ()))

    def terms_of(self, part: str = WHOLE) -> List[Term]:
        """Return the terms of a part, or of the whole encoder."""
        if part == WHOLE:
            return self.terms
        front, rest = self.terms[: self._front_terms], self.terms[self._front_terms :]
        return {"cnn": front, "transformer": rest}[part]

    def exact(self, counts: Mapping[str, int], part: str = WHOLE) -> Cost:
        """Price integer counts; a variable without an entry is full."""
        values = {**self.variables, **counts}
        params = macs = 0
        for term_params, term_macs, names in self.terms_of(part):
            product = 1
            for name in names:
                product *= int(values[name])
            params += term_params * product
            macs += term_macs * product
        return Cost(params, macs)


class ExpectedCost:
    """The polynomial over a vector of expected counts, differentiable.

    Args:
        model: The cost model.
        names: Names of the variables that the vector holds, in its order; the
            others stay full.
        kind: "params" or "macs".
        part: "cnn", "transformer", or "encoder" for both.

    Attributes:
        full: Cost with every variable full.
    """

    def __init__(
        self, model: CostModel, names: List[str], kind: str, part: str = WHOLE
    ) -> None:
        position = {name: i for i, name in enumerate(names)}
        one = len(names)  # index of a constant 1 behind the vector
        merged: Dict[Tuple[int, ...], float] = {}
        for params, macs, factors in model.terms_of(part):
            coefficient = float(params if kind == "params" else macs)
            index = []
            for name in factors:
                if name in position:
                    index.append(position[name])
                else:
                    coefficient *= model.variables[name]
            key = tuple(sorted(index))
            merged[key] = merged.get(key, 0.0) + coefficient
        width = max(map(len, merged))
        rows = [key + (one,) * (width - len(key)) for key in merged]
        self._index = torch.tensor(rows)
        self._coefficients = torch.tensor(list(merged.values()), dtype=torch.float64)
        self.full = float(getattr(model.exact({}, part), kind))

    def __call__(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the expected cost; counts (len(names),) -> scalar, float64."""
        if self._index.device != counts.device:
            self._index = self._index.to(counts.device)
            self._coefficients = self._coefficients.to(counts.device)
        values = torch.cat([counts.double(), counts.new_ones(1).double()])
        return (values[self._index].prod(dim=1) * self._coefficients).sum()


def cost(
    structure_or_encoder: Union[Structure, Any], frames: int = 1000, part: str = WHOLE
) -> Cost:
    """Price an encoder, or a Structure.

    Args:
        structure_or_encoder: A Structure, or an encoder (priced as it stands; masks
            that are not cut cost nothing less).
        frames: Input feature frames; see `CostModel`. With a 10 ms hop 1000 frames
            are 10 seconds.
        part: "cnn", "transformer", or "encoder" for both.

    Returns:
        Parameters and MACs of the encoder for one utterance.
    """
    structure = structure_or_encoder
    if not isinstance(structure, Structure):
        structure = Structure.dense(structure)
    return CostModel(structure, frames).exact({}, part)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""`depth_table.json`: for each depth the blocks that run, and what to expect of it.

It lies beside the model, so that a depth can be chosen at run time.
"""

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from torch import nn

from espnet_prune.families import unit_graph
from espnet_prune.measure.cost import cost
from espnet_prune.measure.latency import input_of, measure_latency
from espnet_prune.runtime.reader import read_as
from espnet_prune.units.blocks import check_blocks, with_blocks
from espnet_prune.utils import PathLike, UserError, read_json, sha256, write_json

NAME = "depth_table.json"


@dataclasses.dataclass(frozen=True)
class Depth:
    """One depth of a model.

    Attributes:
        depth: Number of blocks that run.
        kept_blocks: Their numbers, 1-based.
        error: Error rate on the development subset (a fraction), greedy CTC.
        macs: Encoder MACs for 10 s of audio.
        ms: Encoder milliseconds for 10 s of audio on one thread, measured in one run.
    """

    depth: int
    kept_blocks: List[int]
    error: float
    macs: int
    ms: float


@dataclasses.dataclass
class _Table:
    """What the file holds."""

    num_blocks: int
    depths: List[dict]
    frames: int = 1000
    provenance: Optional[dict] = None


class _WithCtc(nn.Module):
    """An encoder whose self-conditioning is given its CTC module."""

    def __init__(self, encoder: nn.Module, ctc: Any) -> None:
        super().__init__()
        self.encoder, self.ctc = encoder, ctc

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        """Run the encoder on x (N, T, C), lengths (N,)."""
        return self.encoder(x, lengths, ctc=self.ctc)


def measure_depths(
    encoder: nn.Module,
    errors: Mapping[int, Any],
    ctc: Any = None,
    runs: int = 15,
    frames: int = 1000,
) -> List[Depth]:
    """Price and time an encoder at several depths, all in one run.

    Args:
        encoder: The full encoder.
        errors: By depth, (kept blocks 1-based, error rate).
        ctc: CTC module of the model, for self-conditioned intermediate CTC.
        runs: Timed runs of each depth.
        frames: Input frames that the model makes of 10 s, see `frames_of`.

    Returns:
        The depths, deepest first.
    """
    graph = unit_graph(encoder)
    dense = graph.dense
    views, macs = {}, {}
    for depth, (kept, _) in errors.items():
        place = [block - 1 for block in kept]
        views[str(depth)] = _WithCtc(with_blocks(encoder, place), ctc)
        names = [dense["encoder"].kept_blocks[i] for i in place]
        macs[depth] = cost(dense.with_widths({"kept_blocks": names}), frames).macs
    times = measure_latency(views, frames=frames, **input_of(graph), runs=runs)
    return [
        Depth(depth, list(kept), error, macs[depth], times[str(depth)].min_ms)
        for depth, (kept, error) in sorted(errors.items(), reverse=True)
    ]


class DepthTable:
    """The depths of one model.

    Args:
        depths: Its depths.
        number: Blocks of the full model.
        path: Where the table was read from, for messages.
        frames: Input frames that were taken for 10 s.
    """

    def __init__(
        self,
        depths: Sequence[Depth],
        number: int,
        path: PathLike = NAME,
        frames: int = 1000,
    ) -> None:
        self.depths = {entry.depth: entry for entry in depths}
        self.number, self.path, self.frames = number, path, frames

    def save(self, path: PathLike, **provenance: Any) -> None:
        """Write the table; `provenance` says what it was measured on."""
        entries = [dataclasses.asdict(e) for _, e in sorted(self.depths.items())][::-1]
        data = {"num_blocks": self.number, "frames": self.frames, "depths": entries}
        write_json({**data, "provenance": provenance}, path)

    @classmethod
    def load(
        cls, path: PathLike, model_file: Optional[PathLike] = None
    ) -> "DepthTable":
        """Read and check a table.

        Args:
            path: depth_table.json.
            model_file: The checkpoint that it must belong to.

        Raises:
            UserError: The file is missing or not a table, or belongs to other weights.
        """
        data = read_json(path)
        try:
            data = read_as(_Table, data, "depth table")
            depths = [Depth(**read_as(Depth, e, "depths")) for e in data["depths"]]
            number, frames = data["num_blocks"], data.get("frames", 1000)
            for entry in depths:
                check_blocks(entry.kept_blocks, number, "kept_blocks")
        except UserError as error:
            raise UserError(
                f"{path}: not a depth table ({error}); make it with "
                "espnet_prune.bin.select, layers_conf: depth_table: true"
            ) from error
        made_of = (data.get("provenance") or {}).get("model_sha256")
        if model_file is not None and made_of not in (None, sha256(model_file)):
            raise UserError(
                f"{path} was made for other weights than {model_file}; make it again"
            )
        return cls(depths, number, path, frames)

    @staticmethod
    def beside(model_file: PathLike) -> Path:
        """Return where the table of a checkpoint lies."""
        return Path(model_file).parent / NAME

    def at(self, depth: int) -> Depth:
        """Return one depth.

        Raises:
            UserError: The table has no such depth.
        """
        if depth not in self.depths:
            known = ", ".join(map(str, sorted(self.depths, reverse=True)))
            raise UserError(f"{self.path}: no depth {depth}; the depths are {known}")
        return self.depths[depth]

    def within(self, **budget: Optional[float]) -> Depth:
        """Return the most accurate depth that a budget allows.

        Args:
            budget: `ms` or `macs`, for 10 s of audio; all that are given must hold.

        Raises:
            UserError: No budget, an unknown one, or one below the smallest depth.
        """
        wanted: Dict[str, float] = {k: v for k, v in budget.items() if v is not None}
        if not wanted or set(wanted) - {"ms", "macs"}:
            raise UserError("set_budget takes ms=..., macs=... or both")
        fit = [
            entry
            for entry in self.depths.values()
            if all(getattr(entry, kind) <= most for kind, most in wanted.items())
        ]
        if not fit:
            least = min(self.depths.values(), key=lambda entry: entry.depth)
            raise UserError(
                f"{self.path}: no depth within {wanted}; the smallest, {least.depth}, "
                f"takes {least.ms:.1f} ms and {least.macs / 1e9:.3f} GMACs for 10 s"
            )
        return min(fit, key=lambda entry: (entry.error, entry.macs))

    def __str__(self) -> str:
        """Return a table for people."""
        lines = [f"{'depth':>5} {'error':>8} {'GMACs/10s':>10} {'ms/10s':>8}  blocks"]
        for depth, entry in sorted(self.depths.items(), reverse=True):
            lines.append(
                f"{depth:>5} {entry.error:>8.2%} {entry.macs / 1e9:>10.3f} "
                f"{entry.ms:>8.1f}  {' '.join(map(str, entry.kept_blocks))}"
            )
        return "\n".join(lines)

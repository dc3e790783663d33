# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Structure: how much of every module of an encoder is kept. Plain data.

Every selector produces one, the cutter consumes it, the cost model prices it, and
`encoder_conf` of a pruned model carries its widths.
"""

import copy
import dataclasses
import random as _random
from typing import Any, Dict, List, Mapping, Optional, Tuple

from espnet_prune.reader import fits, mapping, read_as
from espnet_prune.utils import PathLike, UserError, check_keys, read_json, write_json

# per-block lists, in the order in which a block runs its modules
BLOCK_FIELDS = (
    "macaron_linear_units",
    "attention_heads",
    "conv_channels",
    "cgmlp_units",
    "linear_units",
)
# lists of the front end, one entry per convolution
FRONT_FIELDS = ("subsampling_channels", "wave_channels")
# families whose modules run one after the other; the others have two branches
SEQUENTIAL = ("conformer", "transformer", "wav2vec2")


@dataclasses.dataclass(frozen=True)
class Dims:
    """What pruning does not change, as far as costs depend on it.

    Attributes:
        encoder: Family of the encoder: "conformer", "transformer", "branchformer",
            "e_branchformer" or "wav2vec2" (HuBERT and WavLM too).
        input_size: Feature dimension of the input, e.g. 80 mel bins; 1 for speech.
        output_size: Width of the residual stream (d).
        head_dim: Width of one attention head (k).
        attention: "abs", "rel" (latest), "legacy_rel" or "gated" (WavLM's); "fast"
            (Fastformer's, whose heads are no units) or "none".
        qk_norm: Whether queries and keys are normalised per head.
        ffn_kernels: Kernel sizes of the two feed-forward layers; (1, 1) if linear.
        cnn_kernel: Kernel size of the depthwise convolution, 0 without one.
        cgmlp_kernel: Kernel size of the cgMLP's convolution, 0 without cgMLP.
        cgmlp_linear: Whether a Linear follows that convolution.
        merge: How attention and cgMLP branch meet: "conv" (E-Branchformer), "concat",
            "learned_ave", "fixed_ave", or "" if a block has no two branches.
        merge_kernel: Kernel size of the merge's convolution, 0 without one.
        pre_norm: Norm before each module (it goes with the module) or after it.
        final_norm: Whether a block ends with a norm of its own.
        concat_after: Whether attention input and output are concatenated.
        convs: (kernel, stride) of every Conv2d of the subsampling, or empty.
        conv1ds: (in, out, kernel, stride) of a Conv1d subsampling, or empty.
        waves: (kernel, stride) of every convolution over raw speech, or empty.
        wave_norm: "group" (after the first of them) or "layer" (after each), or "".
        wave_bias: Whether those convolutions have a bias.
        frame_samples: Samples of input that count as one frame of 10 ms: 160 where
            raw speech at 16 kHz comes in, 1 where features do.
        other_params: Parameters outside blocks and Conv2d subsampling.
        other_macs: Multiply-accumulates outside them: per encoder frame, and fixed.
    """

    encoder: str
    input_size: int
    output_size: int
    head_dim: int
    attention: str = "abs"
    qk_norm: bool = False
    ffn_kernels: Tuple[int, int] = (1, 1)
    cnn_kernel: int = 0
    cgmlp_kernel: int = 0
    cgmlp_linear: bool = False
    merge: str = ""
    merge_kernel: int = 0
    pre_norm: bool = True
    final_norm: bool = False
    concat_after: bool = False
    convs: Tuple[Tuple[int, int], ...] = ()
    conv1ds: Tuple[Tuple[int, int, int, int], ...] = ()
    waves: Tuple[Tuple[int, int], ...] = ()
    wave_norm: str = ""
    wave_bias: bool = False
    frame_samples: int = 1
    other_params: int = 0
    other_macs: Tuple[int, int] = (0, 0)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _numbers(value: Any) -> List[float]:
    """Return all numbers in nested lists."""
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, (int, float)) else []


@dataclasses.dataclass
class Structure:
    """How much of every module of an encoder remains.

    The lists have one entry per remaining block; 0 means that the module is absent,
    None that this kind of encoder never had it. `kept_blocks` are the indices that
    the blocks had in the dense model. `cgmlp_units` counts channels after the gating,
    half of ESPnet's `cgmlp_linear_units`. `subsampling_channels` has one entry per
    Conv2d, `wave_channels` one per convolution over raw speech.

    Counts say all that a rebuilt encoder must know, but for one thing: a head of WavLM
    reads its own column of a table and its own part of the block's input. So
    `remaining_heads` holds, for these encoders only, the indices that the heads of each
    block had in the dense model; None leaves open which heads stay.
    """

    dims: Dims
    kept_blocks: List[int]
    attention_heads: Optional[List[int]] = None
    linear_units: Optional[List[int]] = None
    macaron_linear_units: Optional[List[int]] = None
    conv_channels: Optional[List[int]] = None
    cgmlp_units: Optional[List[int]] = None
    subsampling_channels: Optional[List[int]] = None
    wave_channels: Optional[List[int]] = None
    remaining_heads: Optional[List[List[int]]] = None

    def __post_init__(self) -> None:
        for field, counts in self.fields():
            if not fits(List[int], counts):
                raise UserError(f"structure: {field} must be a list of integers")
            if min(counts, default=0) < 0:
                raise UserError(f"structure: {field} holds a negative count")
            if field in BLOCK_FIELDS and len(counts) != len(self.kept_blocks):
                raise UserError(
                    f"structure: {field} has {len(counts)} entries for "
                    f"{len(self.kept_blocks)} kept blocks; give one entry per block"
                )
        if list(self.kept_blocks) != sorted(set(self.kept_blocks)):
            raise UserError("structure: kept_blocks must rise strictly")
        if self.remaining_heads is not None:
            self._check_heads(self.remaining_heads)

    def _check_heads(self, heads: List[List[int]]) -> None:
        counts = self.attention_heads or []
        if [len(indices) for indices in heads] != list(counts):
            raise UserError(
                f"structure: remaining_heads must list {counts} heads, as "
                "attention_heads says"
            )
        if any(list(indices) != sorted(set(indices)) for indices in heads):
            raise UserError("structure: remaining_heads must rise strictly")

    def fields(self) -> List[Tuple[str, List[int]]]:
        """Return (name, counts) of every list that this kind of encoder has."""
        names = BLOCK_FIELDS + FRONT_FIELDS
        pairs = [(name, getattr(self, name)) for name in names]
        return [(name, counts) for name, counts in pairs if counts is not None]

    @classmethod
    def dense(cls, encoder: Any) -> "Structure":
        """Return the Structure of an encoder as it stands, nothing removed.

        Args:
            encoder: A stock or pruned ESPnet encoder (torch.nn.Module).
        """
        from espnet_prune.units import structure_of

        return structure_of(encoder)

    @classmethod
    def random(cls, encoder: Any, seed: int, keep: float = 0.5) -> "Structure":
        """Draw a Structure that `encoder` can be cut to.

        A module is absent with probability (1 - keep) / 4; otherwise the share of its
        units that stays is uniform around `keep`. The same seed gives the same draw.
        """
        dense, rng = cls.dense(encoder), _random.Random(seed)
        drawn = copy.deepcopy(dense)
        spread = min(keep, 1.0 - keep)

        def draw(size: int) -> int:
            return max(1, round(size * rng.uniform(keep - spread, keep + spread)))

        # with concat_after the attention is no plain residual, so one head must stay
        removable = {"attention_heads": not dense.dims.concat_after}
        removable.update(dict.fromkeys(FRONT_FIELDS, False))
        drawn.remaining_heads = None
        for field, counts in drawn.fields():
            for i, size in enumerate(counts):
                gone = removable.get(field, True) and rng.random() < (1.0 - keep) / 4
                counts[i] = 0 if gone or size == 0 else draw(size)
        return drawn

    def widths(self) -> Dict[str, List[int]]:
        """Return what `encoder_conf: {structure: ...}` of a pruned model carries."""
        widths = {field: list(counts) for field, counts in self.fields()}
        widths["kept_blocks"] = list(self.kept_blocks)
        if self.remaining_heads is not None:
            widths["remaining_heads"] = [list(heads) for heads in self.remaining_heads]
        return widths

    def with_widths(self, widths: Mapping[str, Any]) -> "Structure":
        """Return this encoder's Structure at other widths.

        Raises:
            UserError: An unknown key, a kind this encoder does not have, more units
                than there are, or none where at least one must stay.
        """
        own = dict(self.fields())
        known = [*own, "kept_blocks"]
        if self.dims.attention == "gated":
            known.append("remaining_heads")
        check_keys(widths, known, "structure")
        kept = list(widths.get("kept_blocks", self.kept_blocks))
        missing = [block for block in kept if block not in self.kept_blocks]
        if missing or not kept:
            raise UserError(
                f"structure: kept_blocks {kept} does not fit an encoder with blocks "
                f"{self.kept_blocks}"
            )
        position = [self.kept_blocks.index(block) for block in kept]
        values: Dict[str, List[int]] = {}
        for field, counts in own.items():
            full = [counts[i] for i in position] if field in BLOCK_FIELDS else counts
            given = widths.get(field, full)
            values[field] = given = list(full if given is None else given)
            if len(given) != len(full):
                raise UserError(
                    f"structure: {field} has {len(given)} entries, the encoder "
                    f"has {len(full)}"
                )
            for i, (n, size) in enumerate(zip(given, full)):
                least = int(
                    field in FRONT_FIELDS
                    or (field == "attention_heads" and self.dims.concat_after)
                )
                if not least <= n <= size:
                    raise UserError(
                        f"structure: {field}[{i}] is {n}, this encoder allows "
                        f"{least} to {size}"
                    )
        heads = self._heads(widths, values.get("attention_heads") or [], position)
        return Structure(
            dims=self.dims, kept_blocks=kept, remaining_heads=heads, **values
        )

    def _heads(
        self, widths: Mapping[str, Any], counts: List[int], position: List[int]
    ) -> Optional[List[List[int]]]:
        """Return which heads remain, as far as `widths` or the counts decide it."""
        given = widths.get("remaining_heads")
        own = None
        if self.remaining_heads is not None:
            own = [self.remaining_heads[i] for i in position]
        if given is None:
            if own is None or any(n not in (0, len(h)) for n, h in zip(counts, own)):
                return None
            return [list(heads) if n else [] for n, heads in zip(counts, own)]
        if own is not None and (
            len(given) != len(own)
            or any(set(some) - set(heads) for some, heads in zip(given, own))
        ):
            raise UserError(
                f"structure: remaining_heads {given} are not among the encoder's {own}"
            )
        return [list(heads) for heads in given]

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data; `from_dict` gives an equal Structure back."""
        return {"dims": _lists(dataclasses.asdict(self.dims)), **self.widths()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Structure":
        """Build a Structure from plain data.

        Raises:
            UserError: Missing or unknown keys, values of another type, or lists that do
                not fit together.
        """
        data = mapping(data, "structure")
        for key in ("dims", "kept_blocks"):
            if key not in data:
                raise UserError(f"structure: key '{key}' is missing")
        dims = read_as(Dims, data["dims"], "structure: dims")
        for key, value in dims.items():
            if min(_numbers(value), default=0) < 0:
                raise UserError(f"structure: dims: {key} is {value}, must be 0 or more")
        dims = Dims(**{key: _tuples(value) for key, value in dims.items()})
        structure = cls(**read_as(cls, {**data, "dims": dims}, "structure"))
        for key in ("attention_heads", "linear_units"):
            if key not in data and dims.encoder in SEQUENTIAL:
                raise UserError(f"structure: key '{key}' is missing")
        return structure

    def save(self, path: PathLike, **provenance: Any) -> None:
        """Write `structure.json`; `provenance` says where the Structure came from."""
        data: Dict[str, Any] = {"structure": self.to_dict()}
        if provenance:
            data["provenance"] = provenance
        write_json(data, path)

    @classmethod
    def load(cls, path: PathLike) -> "Structure":
        """Read `structure.json`.

        Raises:
            UserError: The file is missing, not JSON, or not a Structure.
        """
        data = read_json(path)
        if not isinstance(data, dict) or "structure" not in data:
            raise UserError(f"{path}: not a structure file; key 'structure' is missing")
        try:
            return cls.from_dict(data["structure"])
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    def diff(self, other: "Structure") -> Dict[str, Tuple[Any, Any]]:
        """Return the lists that differ, as {field: (own, other's)}.

        Heads that one of the two leaves open do not differ.
        """
        mine, theirs = self.to_dict(), other.to_dict()
        return {
            key: (mine.get(key), theirs.get(key))
            for key in {**mine, **theirs}
            if mine.get(key) != theirs.get(key)
            and (key != "remaining_heads" or (key in mine and key in theirs))
        }

    def summary(self) -> str:
        """Return a table for people: one line per block."""
        fields = [pair for pair in self.fields() if pair[0] in BLOCK_FIELDS]
        lines = ["block " + " ".join(f"{field:>20}" for field, _ in fields)]
        for i, block in enumerate(self.kept_blocks):
            row = " ".join(f"{counts[i] or '-':>20}" for _, counts in fields)
            lines.append(f"{block:>5} {row}")
        for field in FRONT_FIELDS:
            channels = getattr(self, field)
            if channels is not None:
                numbers = ", ".join(map(str, channels))
                lines.append(f"{field.replace('_', ' ')}: {numbers}")
        return "\n".join(lines)

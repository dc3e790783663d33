# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Read the structure.json of releases before 0.2: flat lists, and `dims` for prices.

Those dimensions say of which encoder the lists are. It is built once more, on the meta
device where tensors have no content, and its price is that of any other encoder. What
belongs to no unit and no block was summed up in two numbers, and they stay.
"""

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch

from espnet_prune.price import FRAME, ONCE, Term, tuples
from espnet_prune.runtime.reader import read_as
from espnet_prune.structure import Structure, block_lists
from espnet_prune.units.pricing import BLOCKS
from espnet_prune.utils import UserError, check_keys

# what ESPnet and torch raise where sizes do not go together
_MISFITS = (
    ArithmeticError,
    AssertionError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
# positions, attention, and which of two forms of relative positions
_ATTENTION = {
    "abs": ("abs_pos", "selfattn", "latest"),
    "none": ("abs_pos", "selfattn", "latest"),
    "fast": ("abs_pos", "fast_selfattn", "latest"),
    "rel": ("rel_pos", "rel_selfattn", "latest"),
    "legacy_rel": ("rel_pos", "rel_selfattn", "legacy"),
}
# `input_layer` by its convolutions: whether they have two dimensions, (kernel, stride)
_LAYERS = {
    (True, ((3, 2), (3, 2))): "conv2d",
    (True, ((3, 1), (3, 1))): "conv2d1",
    (True, ((3, 2), (3, 1))): "conv2d2",
    (True, ((3, 2), (5, 3))): "conv2d6",
    (True, ((3, 2), (3, 2), (3, 2))): "conv2d8",
    (False, ((3, 1), (3, 1))): "conv1d1",
    (False, ((3, 1), (3, 2))): "conv1d2",
    (False, ((3, 1), (5, 3))): "conv1d3",
}


@dataclasses.dataclass(frozen=True)
class Dims:
    """What pruning does not change, as far as costs depend on it.

    Attributes:
        encoder: Family of the encoder.
        input_size: Feature dimension of the input; 1 for speech.
        output_size: Width of the residual stream (d).
        head_dim: Width of one attention head.
        attention: A key of `_ATTENTION`, or "gated" (WavLM's).
        qk_norm: Whether queries and keys are normalised per head.
        ffn_kernels: Kernel sizes of the two feed-forward layers; (1, 1) if linear.
        cnn_kernel: Kernel size of the depthwise convolution, 0 without one.
        cgmlp_kernel: Kernel size of the cgMLP's convolution, 0 without cgMLP.
        cgmlp_linear: Whether a Linear follows that convolution.
        merge: How two branches meet, "" if a block has no two branches.
        merge_kernel: Kernel size of the merge's convolution, 0 without one.
        pre_norm: Norm before each module or after it.
        final_norm: Whether a block ends with a norm of its own.
        concat_after: Whether attention input and output are concatenated.
        convs: (kernel, stride) of every Conv2d of the subsampling.
        conv1ds: (in, out, kernel, stride) of a Conv1d subsampling.
        waves: (kernel, stride) of every convolution over raw speech.
        wave_norm: "group" (after the first of them), "layer" (after each), or "".
        wave_bias: Whether those convolutions have a bias.
        frame_samples: Samples of input that count as one frame.
        other_params: Parameters outside blocks and front ends with units.
        other_macs: MACs outside them: per encoder frame, and fixed.
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


@dataclasses.dataclass(frozen=True)
class Before:
    """What stood in the file: those dimensions, and lists with an entry per block.

    Lists that this kind of encoder does not have are missing or null.
    """

    dims: Any
    kept_blocks: List[int]
    attention_heads: Optional[List[int]] = None
    linear_units: Optional[List[int]] = None
    macaron_linear_units: Optional[List[int]] = None
    conv_channels: Optional[List[int]] = None
    cgmlp_units: Optional[List[int]] = None
    subsampling_channels: Optional[List[int]] = None
    wave_channels: Optional[List[int]] = None
    remaining_heads: Optional[List[List[int]]] = None


def read_before(data: Mapping[str, Any]) -> Structure:
    """Build a Structure from the plain data of an older release.

    Args:
        data: {"dims": what costs depended on, "kept_blocks": [...], lists of counts}.

    Raises:
        UserError: Missing or unknown keys, values of another type, or dimensions that
            are those of no encoder.
    """
    lists = read_as(Before, data, "structure")
    given = read_as(Dims, lists.pop("dims"), "structure: dims")
    for key, value in given.items():
        if min(_numbers(value), default=0) < 0:
            raise UserError(f"structure: dims: {key} is {value}, must be 0 or more")
    dims = Dims(**{key: tuples(value) for key, value in given.items()})
    widths = {key: value for key, value in lists.items() if value is not None}
    kept = widths["kept_blocks"]
    for key, counts in block_lists(widths).items():
        if len(counts) != len(kept):
            raise UserError(
                f"structure: {key} has {len(counts)} entries for {len(kept)} kept "
                "blocks; give one entry per block"
            )
    try:
        with torch.device("meta"):
            dense = Structure.dense(_encoder(dims, widths))["encoder"]
    except UserError:
        raise
    except _MISFITS as error:
        raise UserError("structure: dims are those of no encoder") from error
    # what no block and no front end with units pays; here is what it came to
    terms = [term for term in dense.price.terms if not _is_rest(term)]
    rest = [pair for t in dense.price.terms if _is_rest(t) for pair in t.macs]
    convs = [(use, number) for use, number in rest if use.startswith("conv")]
    macs = (*convs, *zip((FRAME, ONCE), dims.other_macs))
    terms.append(Term(dims.other_params, macs))
    price = dataclasses.replace(
        dense.price, terms=tuple(terms), kept_blocks=tuple(kept)
    )
    stack = dataclasses.replace(dense, kept_blocks=list(kept), price=price)
    return Structure({"encoder": stack.with_widths(widths)})


def _is_rest(term: Term) -> bool:
    return term.block is None and term.part == BLOCKS


def _encoder(dims: Dims, widths: Mapping[str, Any]) -> torch.nn.Module:
    """Return an encoder of these dimensions, at least as wide as it is to be.

    Raises:
        UserError: There is none.
    """
    from espnet_prune.registry import encoders

    classes, name = encoders(), f"pruned_{dims.encoder}"
    check_keys([name], classes, "structure: dims: encoder")
    most = {key: max([1, *_numbers(v)]) for key, v in block_lists(widths).items()}
    conf: Dict[str, Any] = {
        "output_size": dims.output_size,
        "attention_heads": dims.output_size // (dims.head_dim or dims.output_size),
        "num_blocks": len(widths["kept_blocks"]),
    }
    units = [most[k] for k in ("linear_units", "macaron_linear_units") if k in most]
    if units:
        conf["linear_units"] = max(units)
    if dims.encoder == "wav2vec2":
        return classes[name](**conf, **_speech(dims, widths.get("wave_channels")))
    conf.update(qk_norm=dims.qk_norm, input_layer=_input_layer(dims))
    branches = dims.encoder.endswith("branchformer")
    kinds = ("pos_enc_layer_type", "attention_layer_type", "rel_pos_type")
    if not branches:
        kinds = ("pos_enc_layer_type", "selfattention_layer_type", "rel_pos_type")
        kernel = dims.ffn_kernels[0]
        conv1d = "conv1d" if dims.ffn_kernels[1] > 1 else "conv1d-linear"
        conf.update(
            normalize_before=dims.pre_norm,
            concat_after=dims.concat_after,
            positionwise_layer_type="linear" if kernel == 1 else conv1d,
            positionwise_conv_kernel_size=kernel,
        )
    if dims.encoder == "transformer":
        kinds = kinds[:1]
    conf.update(zip(kinds, _ATTENTION[dims.attention]))
    if dims.encoder == "conformer":
        conf["macaron_style"] = "macaron_linear_units" in most
        conf["use_cnn_module"] = "conv_channels" in most
        conf["cnn_module_kernel"] = dims.cnn_kernel or 1
    if branches:
        conf["cgmlp_linear_units"] = 2 * most.get("cgmlp_units", 1)
        conf["cgmlp_conv_kernel"] = dims.cgmlp_kernel or 1
        conf["use_linear_after_conv"] = dims.cgmlp_linear
    if dims.encoder == "e_branchformer":
        conf["use_ffn"] = "linear_units" in most
        conf["macaron_ffn"] = "macaron_linear_units" in most
        conf["merge_conv_kernel"] = dims.merge_kernel
    elif branches:
        conf["use_attn"] = dims.attention != "none"
        conf["use_cgmlp"] = "cgmlp_units" in most
        conf["merge_method"] = dims.merge or "concat"
    return classes[name](dims.input_size, **conf)


def _input_layer(dims: Dims) -> Optional[str]:
    """Return ESPnet's name of a front end; None where it is in `other_params`."""
    conv1ds = tuple((kernel, stride) for _, _, kernel, stride in dims.conv1ds)
    name = _LAYERS.get((len(dims.convs) > 0, dims.convs or conv1ds))
    if name is None and (dims.convs or conv1ds):
        raise UserError(
            f"structure: dims: ESPnet has no front end with {dims.convs or conv1ds}"
        )
    return name


def _speech(dims: Dims, channels: Optional[List[int]]) -> Dict[str, Any]:
    """Return what else an encoder of raw speech takes."""
    if len(channels or ()) != len(dims.waves):
        raise UserError(
            f"structure: wave_channels has {len(channels or ())} entries, the encoder "
            f"has {len(dims.waves)}"
        )
    return {
        "model": "wavlm_base" if dims.attention == "gated" else "wav2vec2_base",
        "normalize_before": dims.pre_norm,
        "conv_layers": [(n, *wave) for n, wave in zip(channels or (), dims.waves)],
        "extractor_mode": f"{dims.wave_norm}_norm",
        "conv_bias": dims.wave_bias,
        "pos_conv_kernel": 1,  # in `other_params`
        "pos_conv_groups": 1,
    }


def _numbers(value: Any) -> List[float]:
    """Return all numbers in nested lists."""
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, (int, float)) else []

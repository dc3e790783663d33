# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Small encoders of every variant that can be pruned, of features and of raw speech.

What every variant must do is tested in `test_variants.py`.
"""

import copy
import importlib

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from espnet_prune.compat import BodyEncoder
from espnet_prune.families import family_named

SMALL = dict(output_size=16, attention_heads=4, linear_units=24, num_blocks=2)
CONFORMER = dict(SMALL, macaron_style=True, cnn_module_kernel=7)
LATEST = dict(CONFORMER, rel_pos_type="latest")
ABS_POS = dict(pos_enc_layer_type="abs_pos", selfattention_layer_type="selfattn")

BRANCHES = dict(
    output_size=16,
    attention_heads=4,
    cgmlp_linear_units=48,
    cgmlp_conv_kernel=5,
    num_blocks=2,
)
FFN = dict(use_ffn=True, linear_units=24)
E_BRANCHES = dict(BRANCHES, **FFN, macaron_ffn=True)
FAST = dict(pos_enc_layer_type="abs_pos", attention_layer_type="fast_selfattn")
NO_POS = dict(pos_enc_layer_type="abs_pos", attention_layer_type="selfattn")
MULTICONV = dict(
    **{key: value for key, value in LATEST.items() if key != "cnn_module_kernel"},
    cgmlp_linear_units=48,
    multicgmlp_type="sum",
    multicgmlp_kernel_sizes="3,5",
    multicgmlp_merge_conv_kernel=3,
)
STREAM = dict(block_size=8, hop_size=3, look_ahead=2)
STREAM_CONFORMER = dict(
    CONFORMER, **STREAM, selfattention_layer_type="selfattn", input_layer="conv2d"
)

# name -> (class, arguments)
VARIANTS = {
    "latest": ("conformer", LATEST),
    "legacy": ("conformer", CONFORMER),
    "abs_pos": ("conformer", dict(LATEST, **ABS_POS)),
    "qk_norm": ("conformer", dict(LATEST, **ABS_POS, qk_norm=True)),
    "no_macaron": ("conformer", dict(LATEST, macaron_style=False)),
    "no_conv": ("conformer", dict(LATEST, use_cnn_module=False)),
    "conv2d1": ("conformer", dict(LATEST, input_layer="conv2d1")),
    "conv2d2": ("conformer", dict(LATEST, input_layer="conv2d2")),
    "conv2d6": ("conformer", dict(LATEST, input_layer="conv2d6")),
    "conv2d8": ("conformer", dict(LATEST, input_layer="conv2d8")),
    "linear": ("conformer", dict(LATEST, input_layer="linear")),
    "post_norm": ("conformer", dict(LATEST, normalize_before=False)),
    "concat_after": ("conformer", dict(LATEST, concat_after=True)),
    "conv1d": ("conformer", dict(LATEST, positionwise_layer_type="conv1d")),
    "conv1d-linear": (
        "conformer",
        dict(LATEST, positionwise_layer_type="conv1d-linear"),
    ),
    "pos_conv": ("conformer", {**LATEST, **ABS_POS, "pos_enc_layer_type": "conv"}),
    "interctc": ("conformer", dict(LATEST, interctc_layer_idx=[1])),
    "stochastic_depth": ("conformer", dict(LATEST, stochastic_depth_rate=[0.1, 0.5])),
    "transformer": ("transformer", dict(SMALL)),
    "transformer_conv2d6": ("transformer", dict(SMALL, input_layer="conv2d6")),
    "transformer_conv1d2": ("transformer", dict(SMALL, input_layer="conv1d2")),
    "transformer_post_norm": ("transformer", dict(SMALL, normalize_before=False)),
    "transformer_concat": ("transformer", dict(SMALL, concat_after=True)),
    "e_branchformer": ("e_branchformer", dict(E_BRANCHES, interctc_layer_idx=[1])),
    "e_branchformer_legacy": (
        "e_branchformer",
        dict(BRANCHES, **FFN, rel_pos_type="legacy", gate_activation="tanh"),
    ),
    "e_branchformer_linear": (
        "e_branchformer",
        dict(BRANCHES, use_linear_after_conv=True, merge_conv_kernel=5),
    ),
    "e_branchformer_abs": (
        "e_branchformer",
        dict(E_BRANCHES, **NO_POS, qk_norm=True, input_layer="conv1d2"),
    ),
    "e_branchformer_fast": (
        "e_branchformer",
        dict(E_BRANCHES, **FAST, input_layer="conv2d6"),
    ),
    "branchformer": ("branchformer", dict(BRANCHES, use_linear_after_conv=True)),
    "branchformer_learned": (
        "branchformer",
        dict(BRANCHES, merge_method="learned_ave", gate_activation="swish"),
    ),
    "branchformer_fixed": (
        "branchformer",
        dict(BRANCHES, merge_method="fixed_ave", cgmlp_weight=[0.3, 0.8]),
    ),
    "branchformer_fixed_uneven": (
        "branchformer",
        dict(BRANCHES, merge_method="fixed_ave", cgmlp_weight=[1.0, 0.6]),
    ),
    "branchformer_legacy": (
        "branchformer",
        dict(BRANCHES, rel_pos_type="legacy", stochastic_depth_rate=[0.1, 0.5]),
    ),
    "branchformer_abs": (
        "branchformer",
        dict(BRANCHES, **NO_POS, qk_norm=True, input_layer="linear"),
    ),
    "branchformer_fast": ("branchformer", dict(BRANCHES, **FAST)),
    "branchformer_no_cgmlp": ("branchformer", dict(BRANCHES, use_cgmlp=False)),
    "branchformer_no_attn": ("branchformer", dict(BRANCHES, use_attn=False)),
    "multiconv": ("multiconv_conformer", dict(MULTICONV, interctc_layer_idx=[1])),
    "multiconv_linear": (
        "multiconv_conformer",
        dict(MULTICONV, use_linear_after_conv=True, multicgmlp_use_non_linear=False),
    ),
    "multiconv_mixed": (
        "multiconv_conformer",
        dict(MULTICONV, multicgmlp_type="concat_fusion", macaron_style=False),
    ),
    "stream": ("contextual_block_conformer", STREAM_CONFORMER),
    "stream_stock_sizes": (
        "contextual_block_conformer",
        dict(SMALL, ctx_pos_enc=False, cnn_module_kernel=7),
    ),
    "stream_post_norm": (
        "contextual_block_conformer",
        dict(STREAM_CONFORMER, normalize_before=False, concat_after=True),
    ),
    "stream_transformer": (
        "contextual_block_transformer",
        dict(SMALL, input_layer="conv2d6", block_size=10, hop_size=4, look_ahead=0),
    ),
    "stream_transformer_linear": (
        "contextual_block_transformer",
        dict(
            SMALL,
            input_layer="linear",
            positionwise_layer_type="conv1d-linear",
            positionwise_conv_kernel_size=3,
            block_size=30,
            hop_size=7,
            look_ahead=9,
        ),
    ),
    "owsm_ctc": (
        "e_branchformer_ctc",
        dict(
            E_BRANCHES,
            **NO_POS,
            input_layer="conv2d8",
            use_cross_attention=[0, 1],
        ),
    ),
    "owsm_ctc_rel": (
        "e_branchformer_ctc",
        dict(BRANCHES, input_layer="conv2d8", use_linear_after_conv=True),
    ),
    "owsm_ctc_plain": (
        "e_branchformer_ctc",
        dict(E_BRANCHES, input_layer="linear", use_cross_attention=False),
    ),
    "stream_never": ("contextual_block_transformer", dict(SMALL, block_size=0)),
}
MEL = 40

SPEECH_SIZES = dict(
    output_size=16,
    attention_heads=4,
    linear_units=24,
    num_blocks=3,
    conv_layers=[[12, 10, 5], [10, 8, 8], [14, 8, 8]],
    pos_conv_kernel=8,
    pos_conv_groups=4,
)
BUCKETS = dict(num_buckets=8, max_distance=20)
# self-supervised models: raw speech in, no stock class
SPEECH = {
    "base": dict(SPEECH_SIZES, model="wav2vec2_base"),
    "large": dict(SPEECH_SIZES, model="wav2vec2_large_lv60k", pos_conv_kernel=7),
    "wavlm": dict(SPEECH_SIZES, **BUCKETS, model="wavlm_base"),
    "wavlm_large": dict(SPEECH_SIZES, **BUCKETS, model="wavlm_large"),
}

# the same as front ends, whose features may be a sum over hidden states
FRONTS = {
    "front_base": dict(SPEECH["base"], multilayer_feature=True),
    "front_wavlm_large": dict(SPEECH["wavlm_large"], multilayer_feature=True),
    "front_last": dict(SPEECH["wavlm"], repeat_last=False),
    "front_lower": dict(SPEECH["large"], final_norm=False, normalize_states=True),
}

BLOCK = dict(hidden_size=16, heads=4, conv_mod_kernel_size=5)
# of ESPnet's task asr_transducer: blocks of sizes of their own, no class but the stock
BODIES = {
    "body_conformer": dict(
        body_conf=[
            {**BLOCK, "block_type": "conformer", "linear_size": size}
            for size in (24, 20)
        ],
        input_conf=dict(conv_size=6),
    ),
    "body_branches": dict(
        body_conf=[
            {**BLOCK, "block_type": "branchformer", "linear_size": 20},
            {**BLOCK, "block_type": "ebranchformer", "linear_size": 24},
        ],
        input_conf=dict(vgg_like=True, conv_size=(4, 6), subsampling_factor=6),
        main_conf=dict(
            dynamic_chunk_training=True, simplified_att_score=True, norm_type="rms_norm"
        ),
    ),
    "body_repeated": dict(
        body_conf=[
            {**BLOCK, "block_type": kind, "linear_size": 24, "num_blocks": 2}
            for kind in ("ebranchformer", "conformer")
        ],
        main_conf=dict(dynamic_chunk_training=True, num_left_chunks=1),
        input_conf=dict(subsampling_factor=2),
    ),
}

ALL = (*VARIANTS, *SPEECH)  # encoders
EVERY = (*ALL, *FRONTS, *BODIES)

CLASSES = {
    "branchformer": "BranchformerEncoder",
    "conformer": "ConformerEncoder",
    "contextual_block_conformer": "ContextualBlockConformerEncoder",
    "contextual_block_transformer": "ContextualBlockTransformerEncoder",
    "e_branchformer": "EBranchformerEncoder",
    "e_branchformer_ctc": "EBranchformerCTCEncoder",
    "multiconv_conformer": "MultiConvConformerEncoder",
    "ssl": "SSLFrontend",
    "transformer": "TransformerEncoder",
    "wav2vec2": "Wav2Vec2Encoder",
}


def stock_class(family):
    if family == "body":
        return BodyEncoder
    name = {"multiconv_conformer": "multiconvformer"}.get(family, family)
    module = importlib.import_module(f"espnet2.asr.encoder.{name}_encoder")
    return getattr(module, CLASSES[family])


def pruned_class(family):
    module = importlib.import_module(f"espnet_prune.encoders.pruned_{family}")
    return getattr(module, f"Pruned{CLASSES[family]}")


def randomise(encoder, seed=0):
    """Give norms and biases values that betray a wrong slice."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in encoder.named_parameters():
            if p.dim() == 1:
                p.add_(0.3 * torch.randn(p.shape, generator=generator))
        for name, buffer in encoder.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return encoder.eval()


def arguments(variant, **more):
    """Return the family of any variant, and the arguments of its class."""
    if variant in FRONTS:
        return "ssl", {**FRONTS[variant], **more}
    if variant in SPEECH:
        return "wav2vec2", {"input_size": 1, **SPEECH[variant], **more}
    if variant in BODIES:
        return "body", {"input_size": MEL, **copy.deepcopy(BODIES[variant]), **more}
    family, conf = VARIANTS[variant]
    return family, {"input_size": MEL, **conf, **more}


def build(variant, seed=0, pruned=False, **more):
    """Make an encoder of any variant; one of raw speech has no stock class."""
    family, conf = arguments(variant, **more)
    torch.manual_seed(seed)
    pruned = pruned or variant in (*SPEECH, *FRONTS)
    make = pruned_class(family) if pruned else stock_class(family)
    encoder = randomise(make(**conf), seed)
    if variant in BODIES:  # as in ESPnet's decoding
        encoder.dynamic_chunk_training = False
    return encoder


build_speech = build


def rebuilt(variant, structure, dense):
    """Make the encoder that a written config describes, of a Structure cut from one."""
    family, conf = arguments(variant)
    if variant not in BODIES:
        return pruned_class(family)(structure=structure.widths(), **conf).eval()
    own = family_named("body_conf").stock_conf(
        conf, dense["encoder"], structure["encoder"]
    )
    encoder = stock_class(family)(**own).eval()
    encoder.dynamic_chunk_training = False
    return encoder


def inputs(variant, frames, count=1, seed=0):
    """Return random features or speech of some frames, the last two thirds as long.

    For OWSM-CTC's encoder all that it takes follows, with a prompt that is none.
    """
    size = 160 if variant in SPEECH else 320 if variant in FRONTS else 1
    samples, width = size * frames, () if size > 1 else (MEL,)
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.full((count,), samples)
    if count > 1:
        lengths[-1] = 2 * samples // 3
    x = torch.randn(count, samples, *width, generator=generator)
    return prompted(x, lengths) if variant.startswith("owsm_ctc") else (x, lengths)


def prompted(x, lengths):
    """Return all that OWSM-CTC's encoder takes, with a prompt that is none."""
    generator = torch.Generator().manual_seed(len(x))
    prefix, memory = torch.randn(2, len(x), 2, 16, generator=generator)
    mask = torch.ones(len(x), 1, 1, dtype=torch.bool)
    return x, lengths, None, None, None, prefix, memory[:, :1], mask


def output(encoder, *batch):
    """Return what an encoder makes of inputs (N, T, C), without intermediate CTC."""
    with torch.no_grad():
        out = encoder(*batch)[0]
    return out[0] if isinstance(out, tuple) else out


def counted_macs(encoder, *batch):
    """Return the MACs that torch counts while an encoder runs."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as count:
        encoder(*batch)
    return count.get_total_flops() // 2

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The one place that knows where an ESPnet release keeps its building blocks.

Releases up to 202511 have `espnet.nets`; from 202609 on (Python 3.12 and newer) the
same modules live under `espnet2.legacy.nets`. ESPnet prints a line on stdout when its
attention module is imported without flash-attn; that would corrupt commands whose
output is piped, so it is redirected to stderr.
"""

import contextlib
import functools
import importlib
import sys
from types import ModuleType
from typing import Any, Dict

from espnet_prune.patches import replace
from espnet_prune.tensor_names import SUBSAMPLINGS, name_here


def _nets(name: str) -> ModuleType:
    with contextlib.redirect_stdout(sys.stderr):
        try:
            return importlib.import_module(f"espnet.nets.pytorch_backend.{name}")
        except ModuleNotFoundError as error:
            if not str(error.name).startswith("espnet.nets"):
                raise
            return importlib.import_module(
                f"espnet2.legacy.nets.pytorch_backend.{name}"
            )


def _espnet2(module: str, name: str) -> Any:
    with contextlib.redirect_stdout(sys.stderr):
        return getattr(importlib.import_module(f"espnet2.{module}"), name)


_attention = _nets("transformer.attention")
_feed_forward = _nets("transformer.positionwise_feed_forward")
_conv_feed_forward = _nets("transformer.multi_layer_conv")
_subsampling = _nets("transformer.subsampling")
_embedding = _nets("transformer.embedding")
_chunks = "contextual_block_encoder_layer"

MultiHeadedAttention = _attention.MultiHeadedAttention
RelPositionMultiHeadedAttention = _attention.RelPositionMultiHeadedAttention
LegacyRelPositionMultiHeadedAttention = _attention.LegacyRelPositionMultiHeadedAttention
PositionwiseFeedForward = _feed_forward.PositionwiseFeedForward
MultiLayeredConv1d = _conv_feed_forward.MultiLayeredConv1d
Conv1dLinear = _conv_feed_forward.Conv1dLinear
ConvolutionModule = _nets("conformer.convolution").ConvolutionModule
ConformerEncoderLayer = _nets("conformer.encoder_layer").EncoderLayer
TransformerEncoderLayer = _nets("transformer.encoder_layer").EncoderLayer
ChunkConformerLayer = _nets(f"conformer.{_chunks}").ContextualBlockEncoderLayer
ChunkTransformerLayer = _nets(f"transformer.{_chunks}").ContextualBlockEncoderLayer
DecoderLayer = _nets("transformer.decoder_layer").DecoderLayer
TransformerDecoder = _espnet2("asr.decoder.transformer_decoder", "TransformerDecoder")
JointNetwork = _espnet2("asr_transducer.joint_network", "JointNetwork")
# what an encoder that is described by `body_conf` is made of
BodyEncoder = _espnet2("asr_transducer.encoder.encoder", "Encoder")
BodyAttention = _espnet2(
    "asr_transducer.encoder.modules.attention", "RelPositionMultiHeadedAttention"
)
BodyConformer, BodyBranchformer, BodyEBranchformer, BodyConv1d = (
    _espnet2(f"asr_transducer.encoder.blocks.{name.lower()}", name)
    for name in ("Conformer", "Branchformer", "EBranchformer", "Conv1d")
)
BranchformerEncoderLayer = _espnet2(
    "asr.encoder.branchformer_encoder", "BranchformerEncoderLayer"
)
EBranchformerEncoderLayer = _espnet2(
    "asr.encoder.e_branchformer_encoder", "EBranchformerEncoderLayer"
)
# OWSM-CTC has a class of its own, which attends to a prompt as well
CTCBranchformerLayer = _espnet2(
    "asr.encoder.e_branchformer_ctc_encoder", "EBranchformerEncoderLayer"
)
EBranchformerCTCEncoder = _espnet2(
    "asr.encoder.e_branchformer_ctc_encoder", "EBranchformerCTCEncoder"
)
E_BRANCHFORMER_LAYERS = (EBranchformerEncoderLayer, CTCBranchformerLayer)
ConvolutionalGatingMLP = _espnet2("asr.layers.cgmlp", "ConvolutionalGatingMLP")
CONTEXTUAL_ENCODERS = tuple(
    _espnet2(
        f"asr.encoder.contextual_block_{kind.lower()}_encoder",
        f"ContextualBlock{kind}Encoder",
    )
    for kind in ("Conformer", "Transformer")
)
FastSelfAttention = _espnet2("asr.layers.fastformer", "FastSelfAttention")
MultiSequential = _nets("transformer.repeat").MultiSequential
PositionalEncoding = _embedding.PositionalEncoding
ScaledPositionalEncoding = _embedding.ScaledPositionalEncoding
LearnableFourierPosEnc = _embedding.LearnableFourierPosEnc
ConvolutionalPositionalEmbedding = _embedding.ConvolutionalPositionalEmbedding
PositionalEncoding = _embedding.PositionalEncoding
ScaledPositionalEncoding = _embedding.ScaledPositionalEncoding
LegacyRelPositionalEncoding = _embedding.LegacyRelPositionalEncoding
RelPositionalEncoding = _embedding.RelPositionalEncoding

Conv2dSubsampling = _subsampling.Conv2dSubsampling
Conv2dSubsampling1 = _subsampling.Conv2dSubsampling1
Conv2dSubsampling2 = _subsampling.Conv2dSubsampling2
Conv2dSubsampling6 = _subsampling.Conv2dSubsampling6
Conv2dSubsampling8 = _subsampling.Conv2dSubsampling8
Conv2dSubsamplingWOPosEnc = _nets(
    "transformer.subsampling_without_posenc"
).Conv2dSubsamplingWOPosEnc
CONV1D_SUBSAMPLINGS = tuple(
    getattr(_subsampling, f"Conv1dSubsampling{n}") for n in "123"
)
TooShortUttError = _subsampling.TooShortUttError
TOO_SHORT = (TooShortUttError, _espnet2("asr_transducer.utils", "TooShortUttError"))
CONV2D_SUBSAMPLINGS = (
    Conv2dSubsampling,
    Conv2dSubsampling1,
    Conv2dSubsampling2,
    Conv2dSubsampling6,
    Conv2dSubsampling8,
)


def _read_all_names(kind: type) -> None:
    """Let a class read the names of its tensors in all releases.

    Older releases leave tensors under new names at random. Newer ones do so with
    `--init_param`, which adds a file's tensors to a copy of the model's own: of two
    names the model's own counts there. Here it is the other one, which is the file's.
    """
    original = kind._load_from_state_dict
    if getattr(original, "reads_all_names", False):
        return

    @functools.wraps(original)
    def load(self: Any, state_dict: Dict[str, Any], prefix: str, *args: Any) -> None:
        own = {prefix + name for name in self.state_dict()}
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name = name_here(key, own)
            if name != key:
                state_dict[name] = state_dict.pop(key)
        original(self, state_dict, prefix, *args)

    load.reads_all_names = True
    replace(kind, "_load_from_state_dict", load)


for _name in SUBSAMPLINGS:
    _read_all_names(getattr(_subsampling, _name))

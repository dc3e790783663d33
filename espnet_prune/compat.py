# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The one place that knows where an ESPnet release keeps its building blocks.

Releases up to 202511 have `espnet.nets`; from 202609 on (Python 3.12 and newer) the
same modules live under `espnet2.legacy.nets`. ESPnet prints a line on stdout when its
attention module is imported without flash-attn; that would corrupt commands whose
output is piped, so it is redirected to stderr.
"""

import contextlib
import importlib
import sys
from types import ModuleType
from typing import Any


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
        return getattr(importlib.import_module(f"espnet2.asr.{module}"), name)


_attention = _nets("transformer.attention")
_feed_forward = _nets("transformer.positionwise_feed_forward")
_conv_feed_forward = _nets("transformer.multi_layer_conv")
_subsampling = _nets("transformer.subsampling")
_embedding = _nets("transformer.embedding")

MultiHeadedAttention = _attention.MultiHeadedAttention
RelPositionMultiHeadedAttention = _attention.RelPositionMultiHeadedAttention
LegacyRelPositionMultiHeadedAttention = _attention.LegacyRelPositionMultiHeadedAttention
PositionwiseFeedForward = _feed_forward.PositionwiseFeedForward
MultiLayeredConv1d = _conv_feed_forward.MultiLayeredConv1d
Conv1dLinear = _conv_feed_forward.Conv1dLinear
ConvolutionModule = _nets("conformer.convolution").ConvolutionModule
ConformerEncoderLayer = _nets("conformer.encoder_layer").EncoderLayer
TransformerEncoderLayer = _nets("transformer.encoder_layer").EncoderLayer
BranchformerEncoderLayer = _espnet2(
    "encoder.branchformer_encoder", "BranchformerEncoderLayer"
)
EBranchformerEncoderLayer = _espnet2(
    "encoder.e_branchformer_encoder", "EBranchformerEncoderLayer"
)
ConvolutionalGatingMLP = _espnet2("layers.cgmlp", "ConvolutionalGatingMLP")
FastSelfAttention = _espnet2("layers.fastformer", "FastSelfAttention")
MultiSequential = _nets("transformer.repeat").MultiSequential
ConvolutionalPositionalEmbedding = _embedding.ConvolutionalPositionalEmbedding

Conv2dSubsampling = _subsampling.Conv2dSubsampling
Conv2dSubsampling1 = _subsampling.Conv2dSubsampling1
Conv2dSubsampling2 = _subsampling.Conv2dSubsampling2
Conv2dSubsampling6 = _subsampling.Conv2dSubsampling6
Conv2dSubsampling8 = _subsampling.Conv2dSubsampling8
TooShortUttError = _subsampling.TooShortUttError
CONV2D_SUBSAMPLINGS = (
    Conv2dSubsampling,
    Conv2dSubsampling1,
    Conv2dSubsampling2,
    Conv2dSubsampling6,
    Conv2dSubsampling8,
)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""onnx-asr: a small package of Python, with onnxruntime and numpy."""

from espnet_prune.deploy.targets.onnx_asr.mel import Mel
from espnet_prune.deploy.targets.onnx_asr.samples import Samples
from espnet_prune.deploy.targets.target import Target

ONNX_ASR = Target("onnx-asr", "onnx-asr", ("0.12.0",), (Samples(), Mel()))

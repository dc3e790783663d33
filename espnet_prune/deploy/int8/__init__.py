# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ONNX files with weights of 8 or 4 bits: their parts, and what those take."""

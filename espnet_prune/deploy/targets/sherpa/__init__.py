# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""sherpa-onnx: the runtime of phones, boards and many languages of programming."""

from espnet_prune.deploy.targets.sherpa.fbank import Fbank
from espnet_prune.deploy.targets.sherpa.omnilingual import Omnilingual
from espnet_prune.deploy.targets.sherpa.raw import Raw
from espnet_prune.deploy.targets.target import Target

SHERPA = Target(
    "sherpa-onnx", "sherpa-onnx", ("2.0.1",), (Omnilingual(), Fbank(), Raw())
)

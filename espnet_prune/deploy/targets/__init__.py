# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Deployed models in runtimes of others, as far as these say the same there."""

from typing import Dict

from espnet_prune.deploy.targets.onnx_asr import ONNX_ASR
from espnet_prune.deploy.targets.sherpa import SHERPA
from espnet_prune.deploy.targets.target import Target
from espnet_prune.deploy.targets.web import WEB

# another runtime is a line here, and a folder
TARGETS: Dict[str, Target] = {target.name: target for target in (SHERPA, ONNX_ASR, WEB)}
ALL = "all"

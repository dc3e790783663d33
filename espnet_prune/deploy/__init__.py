# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Using models: depth chosen at run time."""

from typing import Any


def __getattr__(name: str) -> Any:
    # ESPnet's inference takes seconds to import
    if name == "OnDemandSpeech2Text":
        from espnet_prune.deploy.on_demand import OnDemandSpeech2Text

        return OnDemandSpeech2Text
    raise AttributeError(f"module 'espnet_prune.deploy' has no attribute '{name}'")

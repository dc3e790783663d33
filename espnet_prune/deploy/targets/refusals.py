# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Why a slot cannot take a model, where several slots have the same reason."""

from typing import Optional

from espnet_prune.runtime.package import Config


def refusal(
    config: Config, rate: Optional[int] = None, samples: bool = False
) -> Optional[str]:
    """Return why a model cannot be taken by a slot that decodes by CTC, if so.

    Args:
        config: Of the deployed model.
        rate: Of the audio that the slot hands on, in Hz; None for any.
        samples: Whether the slot hands on samples.
    """
    if not config.ctc:
        return (
            "decodes by CTC, which the model does not have; train it with a ctc_weight "
            "above 0"
        )
    if samples and config.input != "speech":
        return (
            "takes samples, and the model takes features that were made before; one "
            "with a front end would do"
        )
    if rate not in (None, config.sample_rate):
        return (
            f"takes {rate} Hz, and the model {config.sample_rate} Hz; one of {rate} Hz "
            "would do"
        )
    return None

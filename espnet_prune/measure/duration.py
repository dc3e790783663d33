# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How many frames of input a model makes of some seconds of audio."""

import math
from typing import Any, Mapping

from espnet_prune.utils import UserError

SECONDS = 10.0  # the length at which costs and times are told
RATE = 16000
# samples per frame where a frontend has a default, as in ESPnet; those that are whole
# models make a frame of 20 ms
_HOPS = {"default": 128, "sliding_window": 160, "kaldi_fbank": 160}
_MODEL_HOP = 320
# raw speech and features that were made elsewhere
_FRAMES_PER_SECOND = 100


def frames_of(config: Mapping[str, Any], seconds: float = SECONDS) -> int:
    """Return the encoder's input frames for some seconds of audio.

    They are counted as `cost` and budgets count them: rate and hop of the frontend
    make them, e.g. 1250 of 10 s with ESPnet's default hop of 128 samples at 16 kHz. The
    one frame more that a centred transform may add at the end is left out. Without a
    frontend a frame is 10 ms: of raw speech for an encoder over the waveform
    (`Clock.samples`), and of features whose hop no config says.

    Args:
        config: Content of the model's config.yaml.
        seconds: Length of the audio.

    Raises:
        UserError: `frontend_conf` has a rate or a hop that is no number of samples.
    """
    name, conf = config.get("frontend", "default"), config.get("frontend_conf") or {}
    if name is None:
        return int(seconds * _FRAMES_PER_SECOND)
    if name == "fused":  # brought to the common divisor of their hops
        every = conf.get("frontends") or [{}]
        hop = math.gcd(*(_hop(f.get("frontend_type", "default"), f) for f in every))
    else:
        hop = _hop(name, conf)
    return int(seconds * rate_of(config) / hop)


def rate_of(config: Mapping[str, Any]) -> int:
    """Return the samples per second of a model's audio.

    Args:
        config: Content of the model's config.yaml.

    Raises:
        UserError: `frontend_conf` has a rate that is no number.
    """
    rate = (config.get("frontend_conf") or {}).get("fs") or RATE
    if config.get("frontend", "default") is None:
        return RATE
    if isinstance(rate, str):
        import humanfriendly

        try:
            rate = humanfriendly.parse_size(rate)
        except humanfriendly.InvalidSize as error:
            raise UserError(f"frontend_conf: fs {rate!r} is not a rate") from error
    return _positive("fs", rate)


def _hop(name: str, conf: Mapping[str, Any]) -> int:
    default = _HOPS.get(name, _MODEL_HOP)
    return _positive("hop_length", conf.get("hop_length") or default)


def _positive(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(
            f"frontend_conf: {key} {value!r} must be a positive number of samples"
        )
    return value

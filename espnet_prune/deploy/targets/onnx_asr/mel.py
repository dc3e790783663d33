# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The type `gigaam-v2-ctc`: features that ESPnet's own front end can make, too.

They are logarithms of 64 HTK mel bands of frames of 400 samples, which ESPnet makes as
well if it is told to, but for the area of a band. That is a constant in each band. The
smallest value of ESPnet is above that of onnx-asr in each of them, so nothing is lost.
"""

import math
from pathlib import Path
from typing import Any, List, Mapping, Optional

import onnx

from espnet_prune.deploy.targets.features import after_frontend
from espnet_prune.deploy.targets.graphs import save
from espnet_prune.deploy.targets.onnx_asr.ctc import RATE, CTCSlot, batched, usage
from espnet_prune.runtime.package import Package

BANDS, HOP = 64, 160
# of `frontend_conf`, and what ESPnet takes where nothing is said
_WANTED = {"n_fft": 400, "hop_length": HOP, "n_mels": BANDS, "htk": True}
_DEFAULTS = {"n_fft": 512, "hop_length": 128, "n_mels": 80, "htk": False}
_LEFT = {  # as ESPnet has it
    "window": "hann",
    "center": True,
    "normalized": False,
    "onesided": True,
    "fmin": None,
    "fmax": None,
    "apply_stft": True,
}
_FLOOR = 1e-10  # of the power in a band, in ESPnet

_BEFORE = """
to_features (float[N, {bands}, T] features, int64[N] feature_lengths)
    => (float[N, T, {bands}] model_feats, int64[N] model_lengths)
    <float[{bands}] areas = {{{areas}}}, float lowest = {{{lowest}}},
     int64 one = {{1}}, int64 hop = {{{hop}}}>
{{
    rows = Transpose<perm = [0, 2, 1]>(features)
    levelled = Add(rows, areas)
    model_feats = Max(levelled, lowest)
    hops = Sub(feature_lengths, one)
    model_lengths = Mul(hops, hop)
}}
"""


class Mel(CTCSlot):
    """Mel bands in, log-probabilities of CTC out."""

    name = "gigaam-v2-ctc"
    vocabulary = "v2_vocab.txt"
    limits = (
        *CTCSlot.limits,
        "in a batch shorter recordings end in silence instead of their mirror image, "
        "which the last 12 ms hear",
    )
    usage = usage(name)

    def unfit(self, package: Package, facts: Mapping[str, Any]) -> Optional[str]:
        """Return why it cannot take a model; see `Slot`."""
        conf = {**_DEFAULTS, **(facts.get("frontend_conf") or {})}
        window = conf.get("win_length") or conf["n_fft"]
        same = facts.get("frontend", "default") == "default"
        same = same and window == _WANTED["n_fft"]
        same = same and all(conf[key] == value for key, value in _WANTED.items())
        same = same and all(conf.get(k, v) == v for k, v in _LEFT.items())
        if package.config.input != "speech" or not same:
            wanted = ", ".join(f"{key}: {value}" for key, value in _WANTED.items())
            return (
                "makes features that are those of frontend: default with "
                f"frontend_conf: {{{wanted.lower()}}} alone, with which a model must "
                "be trained"
            )
        return super().unfit(package, facts)

    def write(self, package: Package, model: Path, folder: Path) -> None:
        """Write v2_ctc.onnx, v2_vocab.txt and config.json; see `Slot`."""
        before = _BEFORE.format(
            bands=BANDS,
            areas=", ".join(f"{math.log(area):.9g}" for area in _areas()),
            lowest=f"{math.log(_FLOOR):.9g}",
            hop=HOP,
        )
        encoder = after_frontend(onnx.load(str(model)), BANDS)
        whole = batched(encoder, package, before, "log_probs")
        save(whole, folder / "v2_ctc.onnx")
        self.describe(package, folder, version="v2")


def _areas() -> List[float]:
    """Return what ESPnet divides the triangle of each band by, inverted, in 1/Hz."""
    top = 2595 * math.log10(1 + RATE / 2 / 700)  # mel of half of the rate
    mels = [top * i / (BANDS + 1) for i in range(BANDS + 2)]
    edges = [700 * (10 ** (mel / 2595) - 1) for mel in mels]
    return [2 / (high - low) for low, high in zip(edges, edges[2:])]

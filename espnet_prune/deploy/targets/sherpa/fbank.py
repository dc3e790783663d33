# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The slot `fire_red_asr_ctc`: Kaldi's filter banks, times of tokens, batches.

Features are made by sherpa-onnx. So the model must have been trained with these, and
its front end is cut off. Normalisation stays in the graph, whatever it is.
"""

from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import onnx

from espnet_prune.deploy.targets.features import after_frontend
from espnet_prune.deploy.targets.graphs import joined, save
from espnet_prune.deploy.targets.refusals import refusal
from espnet_prune.deploy.targets.sherpa.slot import RATE, RESAMPLED, SKIPPED, SherpaSlot
from espnet_prune.deploy.targets.symbols import unfit_symbols, write_symbols
from espnet_prune.deploy.targets.target import BEST_PATH, ONE_LANGUAGE
from espnet_prune.runtime.package import Package

WIDTH, WINDOW, HOP = 80, 400, 160
# what the slot makes, as `frontend_conf` says it, where that says something
_MADE: Dict[str, Any] = {
    "n_mels": (WIDTH,),
    "win_length": (WINDOW,),
    "hop_length": (HOP,),
    "fmin": (20,),
    "fmax": (None, RATE / 2),
}
# `lengths` are those of the speech, in samples; of less than what the subsampling reads
# no frame is left, and no error
_BEFORE = """
features (float[N, T, {width}] x, int64[N] x_lens)
    => (float[N, F, {width}] feats, int64[N] lengths)
    <int64 hop = {{{hop}}}, int64 rest = {{{rest}}}, int64[1] second = {{1}},
     int64[1] least = {{{least}}}, int64[1] none = {{0}},
     int64[4] left = {{0, 0, 0, 0}}>
{{
    sizes = Shape(x)
    frames = Gather(sizes, second)
    missing = Sub(least, frames)
    more = Max(missing, none)
    padding = Concat<axis = 0>(left, more, none)
    feats = Pad(x, padding)
    steps = Mul(x_lens, hop)
    lengths = Add(steps, rest)
}}
"""


class Fbank(SherpaSlot):
    """Kaldi's filter banks in, log-probabilities of CTC out."""

    name = "fire_red_asr_ctc"
    limits = (
        BEST_PATH,
        ONE_LANGUAGE,
        RESAMPLED,
        "all of an utterance at once: long audio is not cut into pieces",
        "in int8 what an utterance of a batch gives depends a little on the others",
    )
    usage = """```python
import sherpa_onnx

recognizer = sherpa_onnx.OfflineRecognizer.from_fire_red_asr_ctc(
    model="{folder}/model.onnx", tokens="{folder}/tokens.txt"
)
streams = []
for samples in utterances:  # each float32 (S,), from -1 to 1
    streams.append(recognizer.create_stream())
    streams[-1].accept_waveform(16000, samples)
recognizer.decode_streams(streams)
for stream in streams:
    print(stream.result.text, stream.result.tokens, stream.result.timestamps)
```"""

    def unfit(self, package: Package, facts: Mapping[str, Any]) -> Optional[str]:
        """Return why it cannot take a model; see `Slot`."""
        frontend, conf = facts.get("frontend", "default"), facts.get("frontend_conf")
        reason = refusal(package.config, RATE)
        if reason is not None:
            return reason
        if frontend != "kaldi_fbank":
            named = "null" if frontend is None else frontend
            return (
                f"makes filter banks of Kaldi, and the model has frontend: {named}; "
                "one that was trained with frontend: kaldi_fbank would do"
            )
        for key, value in (conf or {}).items():
            if value not in _MADE.get(key, (value,)):
                made = "null" if _MADE[key][0] is None else _MADE[key][0]
                return (
                    f"makes filter banks with {key}: {made}, and the model has "
                    f"{value}; train it with the defaults of kaldi_fbank"
                )
        return unfit_symbols(package, SKIPPED)

    def write(self, package: Package, model: Path, folder: Path) -> None:
        """Write model.onnx and tokens.txt; see `Slot`."""
        least = 1 + (package.config.min_samples - WINDOW) // HOP
        sizes = {"width": WIDTH, "hop": HOP, "rest": WINDOW - HOP, "least": least}
        encoder = after_frontend(onnx.load(str(model)), WIDTH)
        whole = joined(encoder, _BEFORE.format(**sizes))
        known = {
            "model_type": "fire-red-asr-2-ctc",
            "subsampling_factor": round(package.config.frame_ms * RATE / HOP / 1000),
            "cmvn_mean": ",".join(["0"] * WIDTH),
            "cmvn_inv_stddev": ",".join(["1"] * WIDTH),
        }
        onnx.helper.set_model_props(whole, {k: str(v) for k, v in known.items()})
        save(whole, folder / "model.onnx")
        write_symbols(package, folder / "tokens.txt")

    def spaced(self, text: str) -> str:
        """Return what becomes of the spaces of a text of ours; see `Slot`."""
        return text[1:] if text.startswith(" ") else text

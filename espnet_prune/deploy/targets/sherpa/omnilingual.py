# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The slot `omnilingual_asr_ctc`: models that read raw speech, with times of tokens.

sherpa-onnx brings an utterance to mean 0, and divides it by the root of its variance
and 1e-5. Models that normalise speech themselves do the same, but not twice: the graph
brings back the level first, which is known from what is missing to a variance of 1.
What is lost is the mean, which these models do not hear.
"""

from pathlib import Path
from typing import Any, Mapping, Optional

import onnx

from espnet_prune.deploy.targets.graphs import joined, save
from espnet_prune.deploy.targets.refusals import refusal
from espnet_prune.deploy.targets.sherpa.slot import RATE, RESAMPLED, SKIPPED, SherpaSlot
from espnet_prune.deploy.targets.symbols import unfit_symbols, write_symbols
from espnet_prune.deploy.targets.target import BEST_PATH, ONE_LANGUAGE
from espnet_prune.runtime.package import Package

STEP_MS = 20  # of a frame; sherpa-onnx makes times with it
_ENCODER = "pruned_wav2vec2"
_SIZES = ("conv_layers", "extractor_mode", "normalize_waveform")
_INSTEAD = "moonshine_v2 takes them as they are"

# samples of variance v / (v + 1e-5), which for 0 is 0, times the root of v + 1e-5
_BEFORE = """
to_speech (float[1, S] samples) => (float[1, S] speech, int64[1] lengths)
    <double little = {1e-5}, double one = {1}, double least = {1e-9},
     int64[1] second = {1}>
{
    exact = Cast<to = 11>(samples)
    squares = Mul(exact, exact)
    variance = ReduceMean<axes = [1], keepdims = 1>(squares)
    missing = Sub(one, variance)
    positive = Max(missing, least)
    power = Div(little, positive)
    level = Sqrt(power)
    scale = Cast<to = 1>(level)
    speech = Mul(samples, scale)
    sizes = Shape(samples)
    lengths = Gather(sizes, second)
}
"""
# each frame as often as it lasts 20 ms: repetitions are one token, at the first
_AFTER = """
to_steps (float[1, T, {size}] log_probs) => (float[1, M, {size}] steps)
    <int64[1] third = {{2}}, int64[4] each = {{1, 1, {times}, 1}},
     int64[3] row = {{1, -1, {size}}}>
{{
    apart = Unsqueeze(log_probs, third)
    copied = Tile(apart, each)
    steps = Reshape(copied, row)
}}
"""


class Omnilingual(SherpaSlot):
    """Normalised samples in, log-probabilities of CTC out."""

    name = "omnilingual_asr_ctc"
    limits = (
        BEST_PATH,
        "one utterance at a time",
        ONE_LANGUAGE,
        RESAMPLED,
    )
    usage = """```python
import sherpa_onnx

recognizer = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(
    model="{folder}/model.onnx", tokens="{folder}/tokens.txt"
)
stream = recognizer.create_stream()
stream.accept_waveform(16000, samples)  # float32 (S,), from -1 to 1
recognizer.decode_stream(stream)
print(stream.result.text, stream.result.tokens, stream.result.timestamps)
```"""

    def unfit(self, package: Package, facts: Mapping[str, Any]) -> Optional[str]:
        """Return why it cannot take a model; see `Slot`."""
        config = package.config
        reason = refusal(config, RATE)
        if reason is not None:
            return reason
        if config.input != "speech" or facts.get("encoder") != _ENCODER:
            return (
                "takes away level and offset of the samples, which models with a front "
                f"end hear; {_INSTEAD}"
            )
        # imports torch, which what listens does without
        from espnet_prune.encoders.speech_models import speech_model

        given = facts.get("encoder_conf") or {}
        sizes = {key: given[key] for key in _SIZES if key in given}
        conf = speech_model(given.get("model", "wav2vec2_base"), sizes)
        if not conf.normalize_waveform and conf.extractor_mode != "group_norm":
            return (
                "takes away the offset of the samples, which extractor_mode: "
                f"layer_norm without normalize_waveform hears; {_INSTEAD}"
            )
        if config.frame_ms % STEP_MS:
            return (
                f"counts in steps of {STEP_MS} ms, and frames of the model are "
                f"{config.frame_ms:g} ms; moonshine_v2 makes no times"
            )
        return unfit_symbols(package, SKIPPED)

    def write(self, package: Package, model: Path, folder: Path) -> None:
        """Write model.onnx and tokens.txt; see `Slot`."""
        times = round(package.config.frame_ms / STEP_MS)
        after = _AFTER.format(size=len(package.tokens), times=times)
        whole = joined(onnx.load(str(model)), _BEFORE, after)
        save(whole, folder / "model.onnx")
        write_symbols(package, folder / "tokens.txt")

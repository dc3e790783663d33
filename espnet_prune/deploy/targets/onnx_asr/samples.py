# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The type `wav2vec2-ctc`: samples as they are, with any front end in the graph.

It is in the main branch of onnx-asr since July 2026, and in no release.
"""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any, Mapping, Optional

import onnx

from espnet_prune.deploy.targets.graphs import save
from espnet_prune.deploy.targets.onnx_asr.ctc import CTCSlot, batched, usage
from espnet_prune.runtime.package import Package

_MODULE = "onnx_asr.models.wav2vec2"
_BEFORE = """
to_speech (float[N, S] input_values, int64[N] input_lengths)
    => (float[N, S] model_speech, int64[N] model_lengths)
{
    model_speech = Identity(input_values)
    model_lengths = Identity(input_lengths)
}
"""


class Samples(CTCSlot):
    """Samples in, log-probabilities of CTC out."""

    name = "wav2vec2-ctc"
    vocabulary = "vocab.txt"
    usage = usage(name)

    def unfit(self, package: Package, facts: Mapping[str, Any]) -> Optional[str]:
        """Return why it cannot take a model; see `Slot`."""
        if package.config.input != "speech":
            return (
                "takes samples, and the model takes features that were made before; "
                "one with a front end would do"
            )
        if not known():
            release = importlib.metadata.version("onnx-asr")
            return (
                "is in the main branch of onnx-asr, but not in its release "
                f"{release}, which is installed; a later one would do"
            )
        return super().unfit(package, facts)

    def write(self, package: Package, model: Path, folder: Path) -> None:
        """Write model.onnx, vocab.txt and config.json; see `Slot`."""
        loaded = onnx.load(str(model))
        whole = batched(loaded, package, _BEFORE, "logprobs")
        save(whole, folder / "model.onnx")
        self.describe(package, folder, 1000 * step_of())


def known() -> bool:
    """Say whether the installed release has this type."""
    try:
        return importlib.util.find_spec(_MODULE) is not None
    except ModuleNotFoundError:
        return False


def step_of() -> float:
    """Return the seconds by which onnx-asr multiplies the length of a frame.

    It divides samples by the same length, which with 0.01 s gives more frames than
    there are: then it takes all, and those behind an utterance are blank.
    """
    module = importlib.import_module(_MODULE)
    return getattr(module.Wav2Vec2Ctc, "window_step", 0.01)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the slots of sherpa-onnx have in common."""

from pathlib import Path
from typing import Any, List, Mapping, Sequence

import numpy as np

from espnet_prune.deploy.targets.target import Heard, Slot

RATE = 16000
SKIPPED = ("SIL", "</s>")  # tokens that are left out of texts
RESAMPLED = "audio of other rates is resampled by sherpa-onnx itself, not as by ours"


class SherpaSlot(Slot):
    """A slot whose `name` is that of sherpa-onnx's function `from_...`.

    Attributes:
        files: Names of what `write` writes, by the arguments of that function.
    """

    files: Mapping[str, str] = {"model": "model.onnx", "tokens": "tokens.txt"}

    def recognizer(self, folder: Path) -> Any:
        """Return sherpa-onnx's recognizer of what was written, on one thread."""
        import sherpa_onnx

        make = getattr(sherpa_onnx.OfflineRecognizer, f"from_{self.name}")
        files = {key: str(folder / name) for key, name in self.files.items()}
        return make(**files, num_threads=1)

    def open(self, folder: Path) -> Heard:
        """Return what sherpa-onnx hears in samples (S,); see `Slot`."""
        recognizer = self.recognizer(folder)
        return lambda samples: results(recognizer, [samples])[0].text


def results(recognizer: Any, batch: Sequence[np.ndarray]) -> List[Any]:
    """Return what it hears in a batch of utterances (S,): text, tokens, timestamps."""
    streams = [recognizer.create_stream() for _ in batch]
    for stream, samples in zip(streams, batch):
        stream.accept_waveform(RATE, samples)
    recognizer.decode_streams(streams)
    return [stream.result for stream in streams]

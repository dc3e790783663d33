# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Speech by espeak-ng, spoken by the process of `espeak_server.py`."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Optional, Type

import numpy as np

from espnet_prune.utils import UserError

CANARY_VERSION = "1.52.0"
CANARY_SHA256 = "aa3d8ae5ded0c18595aff759e64cae2c9a3c008aabd6f1e717dbc1f2e7cd59e8"


class Synthesiser:
    """espeak-ng in a process of its own; use it as a context manager.

    Attributes:
        sample_rate: Of the samples that `speak` returns, in Hz.
        version: Of the library.

    Raises:
        UserError: The library is not installed or does not start.
    """

    def __init__(self) -> None:
        server = Path(__file__).resolve().parent / "espeak_server.py"
        self.process = subprocess.Popen(
            [sys.executable, str(server)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        hello = json.loads(self.process.stdout.readline() or '{"error": "no answer"}')
        if "error" in hello:
            self.close()
            raise UserError(
                f"the speech synthesiser does not start ({hello['error']}); "
                "install it with: pip install espeakng-loader==0.2.4"
            )
        self.sample_rate = int(hello["sample_rate"])
        self.version = str(hello["version"])
        self.variants = Path(hello["data"]) / "voices" / "!v"

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def __enter__(self) -> "Synthesiser":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        value: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def speak(
        self, text: str, accent: str, variant: str, rate: int, pitch: int
    ) -> np.ndarray:
        """Speak one sentence.

        Args:
            text: The sentence; sent in lower case.
            accent: espeak-ng language, such as `en-us`.
            variant: Name of a file among espeak-ng's voice variants.
            rate: Words per minute.
            pitch: Base pitch, 0-99.

        Returns:
            int16 samples (num_samples,) at `sample_rate`.

        Raises:
            UserError: The voice does not exist, or the synthesiser failed.
        """
        # espeak-ng itself accepts an unknown variant and speaks with another voice
        if not (self.variants / variant).is_file():
            raise UserError(
                f"espeak-ng {self.version} has no voice variant '{variant}'"
            )
        voice = f"{accent}+{variant}"
        request = {"text": text.lower(), "voice": voice, "rate": rate, "pitch": pitch}
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise UserError("the process of the speech synthesiser ended") from error
        size = int.from_bytes(self.process.stdout.read(8), "little")
        samples = self.process.stdout.read(size)
        if not samples or len(samples) != size:
            raise UserError(f"espeak-ng failed on '{text}' with the voice {voice}")
        return np.frombuffer(samples, dtype="<i2")

    def warning(self) -> str:
        """Return one sentence if this library makes other audio, else ""."""
        samples = self.speak("seven birds sing", "en-us", "m1", 165, 50)
        canary = hashlib.sha256(samples.tobytes()).hexdigest()
        if self.version == CANARY_VERSION and canary == CANARY_SHA256:
            return ""
        return (
            f"espeak-ng {self.version} makes other samples than the {CANARY_VERSION} "
            "of espeakng-loader 0.2.4 that this recipe was tuned with; "
            "the word error rates will differ a little"
        )

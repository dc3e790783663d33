# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The slot of the browser: all models of a directory in one page."""

import re
from pathlib import Path
from typing import Any, List, Mapping, Optional

import numpy as np

from espnet_prune.deploy.targets.refusals import refusal
from espnet_prune.deploy.targets.target import BEST_PATH, Heard, Part, Slot
from espnet_prune.deploy.targets.web.browser import Browser
from espnet_prune.deploy.targets.web.write import models_of, write_page
from espnet_prune.runtime.package import Package
from espnet_prune.utils import read_json

RATES = 8000, 96000  # that every browser decodes to, in Hz
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # a piece of sentencepiece


class Page(Slot):
    """A page with the model, its sizes and depths, in each precision."""

    name = "page"
    cuts = True
    limits = (
        BEST_PATH,
        "one thread, on the processor",
        "audio that the browser decodes, which resamples it, not as ours does",
        "no times of tokens",
        "the microphone needs https, or a server on the same machine",
    )
    usage = """```sh
python -m http.server --directory {folder}
```

and http://localhost:8000 in a browser; any other server of files does, too."""

    def unfit(self, package: Package, facts: Mapping[str, Any]) -> Optional[str]:
        """Return why it cannot take a model; see `Slot`."""
        config = package.config
        reason = refusal(config, samples=True)
        if reason is not None:
            return reason
        if not RATES[0] <= config.sample_rate <= RATES[1]:
            return (
                f"browsers decode to {RATES[0]}-{RATES[1]} Hz, and the model takes "
                f"{config.sample_rate} Hz"
            )
        byte = next(filter(_BYTE.fullmatch, package.tokens), None)
        if byte and config.token_type == "bpe":
            return f"takes no letters in bytes, such as {byte}; other pieces would do"
        return None

    def write(self, package: Package, model: Path, folder: Path) -> None:
        """Write the page with all models, whichever `model` is; see `Slot`."""
        write_page(package, folder)

    def parts(self, package: Package, precision: str) -> List[Part]:
        """Return all models of the page; see `Slot`."""
        return [
            Part(model.folder, one)
            for model in models_of(package)
            for one in model.package.config.files["model"]
        ]

    def open(self, folder: Path) -> Heard:
        """Return what the page shows for the model above all; see `Slot`."""
        return self.open_part(folder, Part("", "fp32"))

    def open_part(self, folder: Path, part: Part) -> Heard:
        """Return what the page shows when one model is ticked; see `Slot`."""
        return Listener(folder, part)

    def spaced(self, text: str) -> str:
        """Return a text of ours, of which the page keeps all spaces."""
        return text


class Listener:
    """The page, open in Chromium, where one model is ticked.

    Args:
        folder: Where the page is.
        part: The model.

    Raises:
        UserError: Chromium or selenium is not there.
    """

    def __init__(self, folder: Path, part: Part) -> None:
        about = read_json(folder / "models.json")
        self.rate = about["speech"]["rate"]
        self.browser = Browser(folder)
        rows = [row["folder"] == part.folder for row in about["models"]]
        self.browser.use([part.precision if row else None for row in rows])

    def __call__(self, samples: np.ndarray) -> str:
        """Return what the page shows of samples (S,): a text, or what is wrong."""
        found = self.browser.hear([samples], self.rate)[0]
        return found["problem"] or found["rows"][0]["text"]

    def close(self) -> None:
        """End the browser."""
        self.browser.close()

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The runtime, copied beside a deployed model: it needs neither torch nor us."""

from pathlib import Path
from typing import Any, Iterable, List, Mapping, Optional

import espnet_prune.runtime
from espnet_prune.report.runtimes import how_to_run
from espnet_prune.utils import PathLike, atomic_write

# soxr resamples; onnxruntime from 1.20 on was tried, to 1.32
REQUIREMENTS = ["numpy", "onnxruntime>=1.20", "soundfile>=0.12", "soxr>=0.5"]
OLDEST = (3, 11)  # Python

_SCRIPT = '''#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transcribe audio by the model in this directory."""

import os
import sys

if sys.version_info < {oldest}:
    sys.stderr.write(
        "error: this is Python %d.%d, transcribe.py needs Python {named} or later\\n"
        % sys.version_info[:2]
    )
    sys.exit(2)

if __name__ == "__main__":
    from runtime.command import run

    run(os.path.dirname(os.path.abspath(__file__)))
'''

_README = """# A speech recogniser

Made by espnet_prune. Python {named} or later is all that has to be there:

```sh
pip install -r requirements.txt
python transcribe.py recording.wav
```

`transcribe.py` takes audio of any sampling rate (wav, flac, ogg, mp3), folders of it
and lists; `--json` adds tokens and their times, `--jobs 4` runs four files side by
side, `--help` says the rest. In Python, with this directory in `sys.path`:

```python
from runtime import Recognizer

recognizer = Recognizer("/path/to/this/directory")
print(recognizer.file("recording.wav").text)
print(recognizer(samples, sample_rate=16000).text)  # an array of numpy
```

| file | is |
|---|---|
{rows}
"""

_STREAM = """
`python transcribe.py --stream -` hears raw 16-bit PCM on standard input as it comes,
`--stream recording.wav` a file; in Python `from runtime import Stream` does.
"""

_FILES = {
    "config.json": "what the model takes and gives",
    "tokens.txt": "its tokens and their ids",
    "bpe.model": "sentencepiece's model of the tokens",
    "deploy.json": "what was proven and measured",
    "runtime/": "the code that runs it",
}


def write_runtime(
    out_dir: PathLike,
    config: Mapping[str, Any],
    targets: Optional[Mapping[str, Any]] = None,
) -> None:
    """Write what runs a deployed model beside it.

    Args:
        out_dir: Where the model is; gets `runtime/`, `transcribe.py`,
            `requirements.txt` and `README.md`.
        config: Content of its config.json.
        targets: What deploy.json will say of other runtimes.
    """
    out, source = Path(out_dir), Path(espnet_prune.runtime.__file__).parent
    copied = {f"runtime/{path.name}": path.read_text("utf-8") for path in _code(source)}
    for path in _code(out / "runtime"):
        if f"runtime/{path.name}" not in copied:  # of an earlier version
            path.unlink()
    bpe = ["sentencepiece>=0.2"] * (config["token_type"] == "bpe")
    named = ".".join(map(str, OLDEST))
    more = _STREAM if config.get("stream") else ""
    page = _README.format(named=named, rows="\n".join(_rows(config, targets or {})))
    written = {
        **copied,
        "transcribe.py": _SCRIPT.format(oldest=OLDEST, named=named),
        "requirements.txt": "\n".join([*REQUIREMENTS, *bpe, ""]),
        "README.md": page + more + how_to_run(targets or {}),
    }
    for name, text in written.items():
        with atomic_write(out / name) as stream:
            stream.write(text)


def _code(folder: Path) -> List[Path]:
    return sorted(folder.glob("*.py"))


def _rows(config: Mapping[str, Any], targets: Iterable[str]) -> List[str]:
    """Return the lines of the table of files."""
    found = [
        (name, f"{part}, {precision}")
        for part, names in config["files"].items()
        for precision, name in names.items()
    ]
    found += [(f"{name}/", "a smaller model") for name in config["sizes"].values()]
    found += [(f"{name}/", "a shallower model") for name in config["depths"].values()]
    found += [(f"{name}/", f"for {name}, see below") for name in targets]
    there = [name for name in _FILES if name != "bpe.model" or config["bpe_model"]]
    found += [(name, _FILES[name]) for name in there]
    return [f"| `{name}` | {what} |" for name, what in found]

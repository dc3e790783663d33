# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How a model was decoded: noted by every job, compared before models are.

ESPnet's releases decode differently (from 202609 on the CTC prefix score looks only
`ctc_window_margin` frames to each side), so error rates are compared only where
release and options are the same.
"""

import importlib.metadata
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

from espnet_prune.utils import UserError, read_json, write_json

FILE = "decoding.json"
# options of ESPnet's asr_inference that change what is heard; releases lack some
OPTIONS = (
    "batch_size",
    "beam_size",
    "ctc_weight",
    "ctc_window_margin",
    "dtype",
    "hugging_face_decoder_conf",
    "lm_file",
    "lm_weight",
    "maxlenratio",
    "minlenratio",
    "ngram_file",
    "ngram_weight",
    "nlp_prompt_token",
    "normalize_length",
    "penalty",
    "quantize_asr_model",
    "quantize_lm",
    "streaming",
    "time_sync",
    "transducer_conf",
    "word_lm_file",
)


def version_of(package: str) -> str:
    """Return the version of an installed distribution."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def releases() -> Dict[str, str]:
    """Return the releases that results depend on, {"espnet": ..., "torch": ...}."""
    return {name: version_of(name) for name in ("espnet", "torch")}


def note(options: Mapping[str, Any], folder: Path) -> None:
    """Write into the folder of a decoding how it was made."""
    empty = (None, "", {})
    given = {name: options.get(name) for name in OPTIONS}
    given = {name: value for name, value in given.items() if value not in empty}
    write_json({**given, **releases()}, folder / FILE)


def collect(folders: Sequence[Path], target: Path) -> None:
    """Write to `target` how all jobs of a decoding were made.

    Raises:
        UserError: Two jobs were made differently.
    """
    notes = {f: read_json(f / FILE) for f in folders if (f / FILE).is_file()}
    if not notes:
        (target / FILE).unlink(missing_ok=True)
        return
    require_same({str(folder): found for folder, found in notes.items()})
    write_json(next(iter(notes.values())), target / FILE)


def require_same(notes: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare how models were decoded.

    Args:
        notes: Name of the model or job to its note; empty where there is none.

    Raises:
        UserError: An option or a release differs; all that differ are named.
    """
    known = {name: found for name, found in notes.items() if found}
    for name, found in known.items():
        first, other = next(iter(known.items()))
        differ = [
            f"{key} {other.get(key)} and {found.get(key)}"
            for key in sorted(other.keys() | found.keys())
            if other.get(key) != found.get(key)
        ]
        if differ:
            raise UserError(
                f"{first} and {name} were decoded differently: {', '.join(differ)}; "
                "decode both again alike"
            )


def described(found: Mapping[str, Any]) -> str:
    """Say in a line how a model was decoded."""
    options = [f"{k} {v}" for k, v in found.items() if k not in releases()]
    by = [f"{k} {found[k]}" for k in releases() if k in found]
    return "; ".join(filter(None, (", ".join(options), ", ".join(by))))

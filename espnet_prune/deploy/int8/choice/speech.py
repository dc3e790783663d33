# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Speech that calibrates int8 and judges it, as ESPnet loads it."""

from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import numpy as np

from espnet_prune.data.calibration import find_audio
from espnet_prune.data.cleaning import text_cleaner
from espnet_prune.data.speech import load_utterance, open_speech
from espnet_prune.data.tables import Table, read_table
from espnet_prune.deploy.int8.choice.judge import Speech
from espnet_prune.utils import PathLike, UserError

MOST = 300  # utterances


def find_speech(
    what: PathLike,
    config: Mapping[str, Any],
    folder: Path,
    text: Optional[PathLike] = None,
    most: int = MOST,
) -> Speech:
    """Find speech, and load it.

    Args:
        what: A data directory, a wav.scp, a folder of audio files, or one file.
        config: The model's config.yaml.
        folder: Where tables go, and copies of what has another sampling rate.
        text: Transcripts as a Kaldi table; by default those of the data directory.
        most: At most so many utterances, evenly spaced.

    Raises:
        UserError: Nothing is there, or something cannot be read.
    """
    audio = find_audio(what, config, folder, text, most, "--calibration")
    entries = [e for e in audio.write(folder) if e[1] == "speech"]
    data, _ = open_speech(entries, config, labels=False)
    found: Dict[str, np.ndarray] = {}
    for name in audio.speech:
        found[name] = np.asarray(load_utterance(data, name)[1]["speech"], np.float32)
    clean = text_cleaner(config.get("cleaner"))
    texts = {name: clean(words) for name, words in audio.text.items()}
    return Speech(found, texts, _speakers(Path(what)))


def _speakers(what: Path) -> Table:
    """Return the speaker of each utterance of a data directory, if that says them."""
    path = (what if what.is_dir() else what.parent) / "utt2spk"
    try:
        return read_table(path) if path.is_file() else {}
    except UserError:  # it is of other people, and nothing depends on it but intervals
        return {}

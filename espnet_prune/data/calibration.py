# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Any audio as data for a model: a data directory, a wav.scp, a folder, one file.

The tables that ESPnet reads are written to a folder of ours, and so is audio that the
model cannot take as it is: of another sampling rate, of several channels, a part of a
recording. Nothing is written beside the audio.
"""

import dataclasses
import logging
import math
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from espnet_prune.data.audio import Piece, check_audio, copy_piece, remove_others
from espnet_prune.data.corpus import pieces
from espnet_prune.data.tables import (
    Table,
    audio_kind,
    read_table,
    split_ark,
    write_table,
)
from espnet_prune.measure.duration import rate_of
from espnet_prune.model_files import home_of
from espnet_prune.progress import progress
from espnet_prune.utils import PathLike, UserError

SUFFIXES = "wav flac ogg oga opus mp3 aif aiff aifc au snd caf sph w64 rf64".split()
SHORTEST = 0.3  # seconds; less gives some front ends no frame
LONGEST = 30.0  # seconds; what is longer and has no text is taken in parts
PART = 20.0  # seconds of such a part, at most


@dataclasses.dataclass
class Audio:
    """Utterances that a model can take.

    Attributes:
        speech: Where each is: a file, or in an ark; by utterance.
        text: What is said, by utterance; empty where nobody knows.
        seconds: Length of each, 0 in an ark.
        kind: ESPnet's type of `speech`.
        about: What it is, in words.
    """

    speech: Table
    text: Table
    seconds: Dict[str, float]
    kind: str
    about: str

    @property
    def labelled(self) -> bool:
        """Whether every utterance has a text."""
        return bool(self.text)

    def write(self, folder: Path, keys: Optional[Sequence[str]] = None) -> List[Any]:
        """Write wav.scp, and text; return (path, name, type) as ESPnet takes them.

        Args:
            folder: Where they go.
            keys: The utterances, all by default.
        """
        keys = list(self.speech) if keys is None else keys
        write_table(folder / "wav.scp", {key: self.speech[key] for key in keys})
        entries = [(str(folder / "wav.scp"), "speech", self.kind)]
        if self.labelled:
            write_table(folder / "text", {key: self.text[key] for key in keys})
            entries.append((str(folder / "text"), "text", "text"))
        return entries


def find_audio(
    what: PathLike,
    config: Mapping[str, Any],
    folder: Path,
    text: Optional[PathLike] = None,
    most: Optional[int] = None,
    option: str = "--audio",
) -> Audio:
    """Find audio, and make it what a model can take.

    Args:
        what: A Kaldi-style data directory (wav.scp; segments and text if it has them),
            a wav.scp, a folder of audio files, or one file.
        config: The model's config.yaml.
        folder: Where copies go that the model needs.
        text: Transcripts as a Kaldi table; default those of the data directory.
        most: At most so many utterances, evenly spaced; None for all.
        option: What `what` was given by, for errors.

    Raises:
        UserError: Nothing is there, something cannot be read or is no audio, or the
            transcripts are of other utterances.
    """
    found, own = _find(Path(what), config, option)
    where = text or own
    words = _texts(found, Path(where), option) if where else {}
    keys = [key for key in found if key in words] if words else list(found)
    keys = evenly(keys, most)
    kinds = {audio_kind(found[key].path) for key in keys}
    if len(kinds) > 1:
        raise UserError(f"{option} {what}: has both files and entries of arks")
    if kinds == {"kaldi_ark"}:
        _check_arks(found, keys, config, f"{option} {what}")
        speech, seconds = {key: found[key].path for key in keys}, dict.fromkeys(keys, 0)
    else:
        speech, seconds = _usable(
            {key: found[key] for key in keys}, config, folder, option, not words
        )
    chosen = evenly(list(speech), most)
    minutes = sum(seconds[key] for key in chosen) / 60
    about = f"{len(chosen)} utterances of {what}"
    about += f", {minutes:.1f} min" if minutes else ""
    about += ", with text" if words else ", without text"
    return Audio(
        {key: speech[key] for key in chosen},
        {key: words[key] for key in chosen} if words else {},
        {key: seconds[key] for key in chosen},
        kinds.pop(),
        about,
    )


def evenly(keys: Sequence[str], most: Optional[int]) -> List[str]:
    """Return at most so many keys, evenly spaced over all."""
    count = len(keys) if most is None else min(most, len(keys))
    return [keys[i * len(keys) // count] for i in range(count)]


def _find(
    what: Path, config: Mapping[str, Any], option: str
) -> Tuple[Dict[str, Piece], Optional[Path]]:
    """Return where utterances are, and their text if it is beside them."""
    name = "feats.scp" if _takes_features(config) else "wav.scp"
    if not what.exists():
        raise UserError(
            f"{option} {what}: no such file or directory; give a data directory, a "
            "wav.scp, a folder of audio files or one audio file"
        )
    if what.is_dir() and not (what / name).is_file():
        return _recordings(what, option), None
    if what.is_file() and what.suffix.lower().lstrip(".") in SUFFIXES:
        return {"_".join(what.stem.split()): Piece(str(what))}, None
    scp = what / name if what.is_dir() else what
    tables = {"wav.scp": _located(scp, option)}
    if what.is_dir() and (what / "segments").is_file():
        tables["segments"] = read_table(what / "segments")
    own = what / "text"
    return pieces(tables, what), own if what.is_dir() and own.is_file() else None


def _recordings(folder: Path, option: str) -> Dict[str, Piece]:
    """Return the audio files below a folder, named by their stems where they can be."""
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower().lstrip(".") in SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    ]
    if not files:
        raise UserError(
            f"{option} {folder}: has neither wav.scp nor a file of audio that can be "
            f"read ({', '.join(SUFFIXES)}); convert its audio, or give another folder"
        )
    inside = [path.relative_to(folder) for path in files]
    ways = [
        [path.stem for path in inside],
        [str(path.with_suffix("")) for path in inside],
        [str(path) for path in inside],
    ]
    names = [["_".join(name.split()) for name in way] for way in ways]
    keys = next((way for way in names if len(set(way)) == len(files)), names[-1])
    return {key: Piece(str(path)) for key, path in zip(keys, files)}


def _located(scp: Path, option: str) -> Table:
    """Read a wav.scp; its paths become those of files that are there."""
    found, missing = {}, []
    for key, value in read_table(scp).items():
        if value.endswith("|"):
            raise UserError(
                f"{option} {scp}: '{key}' is a pipe, and no command is run from a "
                "file; write audio files"
            )
        name, ark = split_ark(value)
        home = None if Path(name).is_absolute() else home_of(scp, name)
        path = Path(name) if home is None else home / name
        if not value or not path.is_file():
            missing.append(f"{key} {value}".strip())
        found[key] = str(path) + (value[len(name) :] if ark else "")
    if missing:
        raise UserError(
            f"{option} {scp}: {len(missing)} of {len(found)} audio files do not "
            f"exist, the first is '{missing[0]}'; relative paths are looked for from "
            "the directories above the table, and from here"
        )
    return found


def _texts(found: Mapping[str, Piece], path: Path, option: str) -> Table:
    """Return the texts of utterances that have one.

    Raises:
        UserError: There is none.
    """
    table = read_table(path, "give transcripts as lines of UTTERANCE TEXT")
    words = {key: table[key] for key in found if table.get(key)}
    if not words:
        raise UserError(
            f"{path}: names no utterance of {option}; its first line is of "
            f"'{next(iter(table))}', and the first utterance is '{next(iter(found))}'"
        )
    if len(words) < len(found):
        logging.warning(
            f"{path}: {len(found) - len(words)} of {len(found)} utterances have no "
            "text there, and are left out"
        )
    return words


def _check_arks(
    found: Mapping[str, Piece],
    keys: Sequence[str],
    config: Mapping[str, Any],
    option: str,
) -> None:
    """Refuse arks that are no audio of the model's rate, by their first utterance."""
    import kaldiio

    key = keys[0]
    if not all(piece.whole for piece in found.values()):
        raise UserError(f"{option}: segments of an ark are not cut; write audio files")
    try:
        value = kaldiio.load_mat(found[key].path)
    except Exception as error:  # kaldiio raises anything
        raise UserError(f"{option}: '{key}' cannot be read ({error})") from error
    rate = value[0] if isinstance(value, tuple) else None
    if rate is not None and rate != rate_of(config):
        raise UserError(
            f"{option}: '{key}' has {rate} Hz, and the model takes {rate_of(config)} "
            "Hz; what is in an ark is not resampled, write audio files"
        )


def _usable(
    found: Mapping[str, Piece],
    config: Mapping[str, Any],
    folder: Path,
    option: str,
    parts: bool,
) -> Tuple[Table, Dict[str, float]]:
    """Return files of the model's rate with one channel, and their seconds.

    Every recording is read from the first to the last sample.

    Args:
        found: Where the utterances are.
        config: config.yaml.
        folder: Where copies go.
        option: For errors.
        parts: Whether a long one is taken in parts.

    Raises:
        UserError: One cannot be read, none is long enough, or the model takes none.
    """
    if _takes_features(config):
        raise UserError(
            f"{option}: the model takes features that were made before; give a "
            "directory with feats.scp"
        )
    wanted, said = rate_of(config), Counter()  # type: int, Counter[str]
    checked: Dict[str, Tuple[int, int, int]] = {}
    speech, seconds = {}, {}  # type: Table, Dict[str, float]
    copies = folder / "audio"
    bar = progress(len(found), "reading audio", "utterances")
    for key, piece in found.items():
        bar.update()
        what = f"{option}: utterance '{key}'"
        if piece.path not in checked:
            checked[piece.path] = check_audio(piece.path, what)
        size, rate, channels = checked[piece.path]
        start, end = piece.start or 0.0, piece.end or size / rate
        if end - start < SHORTEST:
            said["too short, and left out"] += 1
            continue
        cut = {key: piece}
        if parts and end - start > LONGEST:
            cut = _in_parts(key, piece, start, end)
        said[f"brought to {wanted} Hz"] += rate != wanted
        said["of several channels, of which the mean is taken"] += channels > 1
        said["long, and taken in parts"] += len(cut) > 1
        for name, part in cut.items():
            speech[name], seconds[name] = part.path, (end - start) / len(cut)
            if not part.whole or rate != wanted or channels > 1:
                speech[name] = copy_piece(name, part, copies, what, rate=wanted)
    bar.close()
    for text, number in said.items():
        if number:
            logging.info(f"{option}: {number} of {len(found)} are {text}")
    if not speech:
        raise UserError(
            f"{option}: none of {len(found)} utterances has {SHORTEST} s; give more"
        )
    remove_others(copies, set(speech.values()))
    return speech, seconds


def _in_parts(key: str, piece: Piece, start: float, end: float) -> Dict[str, Piece]:
    """Cut a piece into equal parts."""
    number = math.ceil((end - start) / PART)
    edges = [start + i * (end - start) / number for i in range(number)] + [end]
    return {
        f"{key}-{i:04d}": Piece(piece.path, *edges[i : i + 2]) for i in range(number)
    }


def _takes_features(config: Mapping[str, Any]) -> bool:
    """Say whether a model takes what was made of speech before."""
    raw = config.get("frontend", "default") is not None
    return not raw and (config.get("input_size") or 1) > 1

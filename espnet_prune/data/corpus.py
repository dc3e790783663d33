# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Kaldi-style data directories: read, checked as a whole, written."""

import collections
import logging
import math
from pathlib import Path
from typing import Dict, List, Sequence

from espnet_prune.data.audio import Piece
from espnet_prune.data.tables import Table, read_table, write_table
from espnet_prune.utils import PathLike, UserError

FILES = ("wav.scp", "text", "utt2spk")


def write_dir(folder: Path, tables: Dict[str, Table]) -> None:
    """Write a data directory; spk2utt is made from utt2spk."""
    spk2utt: Dict[str, List[str]] = collections.defaultdict(list)
    for utt, spk in sorted(tables["utt2spk"].items()):
        spk2utt[spk].append(utt)
    for name, table in tables.items():
        write_table(folder / name, dict(sorted(table.items())))
    table = {s: " ".join(spk2utt[s]) for s in sorted(spk2utt)}
    write_table(folder / "spk2utt", table)
    if "segments" not in tables:
        (folder / "segments").unlink(missing_ok=True)
    logging.info("%s: %d utterances", folder, len(tables["text"]))


def read_dir(folder: Path, names: Sequence[str] = FILES) -> Dict[str, Table]:
    """Read the tables of a data directory, and its segments if there are any."""
    tables = {name: read_table(folder / name) for name in names}
    if (folder / "segments").is_file():
        tables["segments"] = read_table(folder / "segments")
    return tables


def whole_set(dumpdir: PathLike, name: str) -> Path:
    """Return the directory of a set as it is decoded and scored.

    ESPnet drops utterances of the validation set that training cannot use, and keeps
    the whole set in ``org/``.
    """
    org = Path(dumpdir) / "org" / name
    return org if (org / "wav.scp").is_file() else Path(dumpdir) / name


def pieces(tables: Dict[str, Table], where: PathLike) -> Dict[str, Piece]:
    """Return where each utterance is: a recording, or what segments says of one.

    Raises:
        UserError: A line of segments is not "RECORDING START END", or names a recording
            that wav.scp has not.
    """
    if "segments" not in tables:
        return {utt: Piece(path) for utt, path in tables["wav.scp"].items()}
    found = {}
    for utt, value in tables["segments"].items():
        recording, *times = value.split()
        line = f"{where}/segments: '{utt} {value}'"
        try:
            start, end = map(float, times)
        except ValueError as error:
            raise UserError(
                f"{line} is not UTTERANCE RECORDING START END, in seconds"
            ) from error
        to_the_end = end == -1
        if not (0 <= start < math.inf and (to_the_end or start < end < math.inf)):
            raise UserError(f"{line} does not end after its start")
        if recording not in tables["wav.scp"]:
            raise UserError(
                f"{line} names the recording '{recording}', which wav.scp has not"
            )
        path = tables["wav.scp"][recording]
        found[utt] = Piece(path, start, None if to_the_end else end)
    return found


def read_corpus_set(corpus: Path, name: str, empty: bool = False) -> Dict[str, Table]:
    """Read and check one set of the user's corpus; paths become absolute.

    Args:
        corpus: Folder that holds the sets; paths in wav.scp are relative to it.
        name: Name of the set.
        empty: Whether a transcript may be empty: in what is only decoded and scored.

    Returns:
        The tables of the set by file name.

    Raises:
        UserError: A table is missing, an utterance lacks a line in one of them, an
            audio file does not exist, is a pipe or in an ark, or a transcript is empty.
    """
    folder = corpus / name
    if not folder.is_dir():
        raise UserError(f"{folder}: no such data directory (--data_dir {corpus})")
    tables = read_dir(folder, ("wav.scp", "text"))
    listed = "segments" if "segments" in tables else "wav.scp"
    utts = tables[listed]
    if (folder / "utt2spk").is_file():
        tables["utt2spk"] = read_table(folder / "utt2spk")
        for utt, speaker in tables["utt2spk"].items():
            if len(speaker.split()) != 1:
                raise UserError(
                    f"{folder}/utt2spk: utterance '{utt}' has the speaker '{speaker}', "
                    "which is not one word"
                )
    else:
        tables["utt2spk"] = {utt: utt for utt in utts}
    for other in ("text", "utt2spk"):
        for a, b, name in ((utts, tables[other], other), (tables[other], utts, listed)):
            missing = sorted(a.keys() - b.keys())
            if missing:
                raise UserError(
                    f"{folder / name}: no line for utterance '{missing[0]}'"
                )
    for key, location in tables["wav.scp"].items():
        what = f"{folder}/wav.scp: '{key}'"
        if location.endswith("|"):
            raise UserError(f"{what} is a pipe; write audio files")
        path = (corpus / location).resolve()
        head, _, offset = location.rpartition(":")
        if offset.isdigit() and (corpus / head).is_file() and not path.is_file():
            raise UserError(f"{what} is an entry of an ark; write audio files")
        if not location or not path.is_file():
            raise UserError(f"{what}: the audio file is missing: {path}")
        tables["wav.scp"][key] = str(path)
    for utt, text in tables["text"].items():
        if not text and not empty:
            raise UserError(f"{folder}/text: utterance '{utt}' has an empty text")
    pieces(tables, folder)
    return tables

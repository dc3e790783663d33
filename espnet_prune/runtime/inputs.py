# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is to be transcribed: files, folders and lists."""

from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from .audio import audio_suffixes
from .errors import UserError
from .files import read_utf8

_LISTS = (".scp", ".txt", ".lst", ".list")


def named_files(given: Sequence[str]) -> Dict[str, str]:
    """Return {name: audio file} of what the command line gives.

    A name is that of a list, or the file's without its ending; files that would have
    the same name have their whole paths.

    Args:
        given: Audio files, folders of them (also data directories with a wav.scp), and
            lists with a path, or a name and a path, in a line.

    Raises:
        UserError: Nothing is there, or a list has what is no path.
    """
    found: List[Tuple[str, str]] = []
    for one in given:
        path = Path(one)
        if path.is_dir():
            found += _of_folder(path)
        elif path.suffix.lower() in _LISTS:
            found += _of_list(path)
        elif path.is_file():
            found.append((path.stem, one))
        else:
            hint = "; add --stream for standard input" if one == "-" else ""
            raise UserError(f"{one}: no such file or folder{hint}")
    names = [name for name, _ in found]
    twice = {name for name in names if names.count(name) > 1} if names else set()
    return {path if name in twice else name: path for name, path in found}


def _of_folder(folder: Path) -> List[Tuple[str, str]]:
    if (folder / "wav.scp").is_file():
        if (folder / "segments").is_file():
            raise UserError(
                f"{folder}/segments cuts recordings into utterances, which is not done "
                f"here; give {folder}/wav.scp for the whole recordings"
            )
        return _of_list(folder / "wav.scp")
    suffixes = audio_suffixes()
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    if not paths:
        raise UserError(f"{folder}: there is no audio in it, such as .wav or .flac")
    return [(path.stem, str(path)) for path in paths]


def _of_list(path: Path) -> List[Tuple[str, str]]:
    found = list(_lines(path))
    if not found:
        raise UserError(f"{path}: is empty; give a path, or a name and a path, a line")
    return found


def _lines(path: Path) -> Iterator[Tuple[str, str]]:
    for number, line in enumerate(read_utf8(path).splitlines(), 1):
        line = line.strip()
        if not line:
            continue
        if line.endswith("|"):
            raise UserError(
                f"{path}: line {number} is a command, not a file; write its audio to a "
                "file first"
            )
        name, _, rest = line.partition(" ")
        whole = _placed(line, path)
        if rest and not Path(whole).is_file():
            yield name, _placed(rest.strip(), path)
        else:
            yield Path(line).stem, whole


def _placed(name: str, path: Path) -> str:
    """Return where a file of a list is: as it stands, or beside or above the list."""
    for folder in (Path(), path.parent, path.parent.parent):
        if (folder / name).is_file():
            return str(folder / name)
    return name

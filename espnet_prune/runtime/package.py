# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A deployed model on disk: what its config.json says, its tokens, its files."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from .errors import UserError, check_keys
from .files import PathLike, read_json, read_utf8
from .reader import read_as

FORMAT = 1  # of config.json, that of this runtime
PARTS = ("model", "step", "memory", "decoder", "prediction", "joint")
PRECISIONS = ("fp32", "int8")


@dataclasses.dataclass(frozen=True)
class Config:
    """What config.json says.

    Args:
        format: Version of this list.
        sample_rate: In Hz.
        files: {part: {precision: file name}}.
        token_type: "char", "bpe", "word" or "phn".
        frame_ms: Milliseconds from one frame of the output to the next.
        input: "speech", or "feats" for a model without front end.
        feature_size: Of an input frame, where the input is "feats".
        min_samples: The shortest input that gives a frame; frames for "feats".
        blank: Token id; so are `sos` and `eos`.
        sos: Begins what a decoder says.
        eos: Ends it.
        space: The token that stands for a space, where the tokens are characters.
        bpe_model: File name, where the tokens are of sentencepiece.
        language: Of the tokens, where it is known.
        ctc: Whether the model has CTC.
        decoder: "attention", "transducer" or None.
        interctc: Blocks (from 1) after which there is CTC, too.
        decoding: Options of beam searches.
        precision: What runs where nothing else is asked for.
        sizes: {name: directory} of smaller models beside this one.
        depths: {number of blocks: directory} of shallower ones.
        stream: How speech that comes in blocks is heard, see `Layout` in blocks.py;
            None for a model that hears whole utterances.
    """

    format: int
    sample_rate: int
    files: Dict[str, Dict[str, str]]
    token_type: str
    frame_ms: float
    input: str = "speech"
    feature_size: Optional[int] = None
    min_samples: int = 1
    blank: int = 0
    sos: Optional[int] = None
    eos: Optional[int] = None
    space: Optional[str] = None
    bpe_model: Optional[str] = None
    language: Optional[str] = None
    ctc: bool = True
    decoder: Optional[str] = None
    interctc: List[int] = dataclasses.field(default_factory=list)
    decoding: Dict[str, Any] = dataclasses.field(default_factory=dict)
    precision: str = "fp32"
    sizes: Dict[str, str] = dataclasses.field(default_factory=dict)
    depths: Dict[str, str] = dataclasses.field(default_factory=dict)
    stream: Optional[Dict[str, int]] = None


@dataclasses.dataclass(frozen=True)
class Package:
    """A deployed model.

    Args:
        folder: Its directory.
        config: Content of its config.json.
        tokens: By id.
    """

    folder: Path
    config: Config
    tokens: List[str]

    def file(self, part: str, precision: Optional[str] = None) -> Path:
        """Return the ONNX file of a part of the model.

        Args:
            part: One of `PARTS`.
            precision: "fp32" or "int8"; None stands for what config.json says. Where
                int8 did not pay for a part, that part is fp32.

        Raises:
            UserError: There is none of this precision, or it is missing.
        """
        files = self.config.files
        wanted = self.config.precision if precision is None else precision
        if not any(wanted in names for names in files.values()):
            there = sorted({name for names in files.values() for name in names})
            raise UserError(
                f"{self.folder}: there is no {wanted} model; "
                f"precision may be {' or '.join(there)}"
            )
        path = self.folder / files[part][self.precision(part, wanted)]
        if not path.is_file():
            raise UserError(
                f"{path} is missing, which config.json names; copy the directory "
                "again, with all files, or deploy the model again"
            )
        return path

    def precision(self, part: str, wanted: Optional[str] = None) -> str:
        """Return the precision in which a part runs where one is wanted; see `file`."""
        wanted = self.config.precision if wanted is None else wanted
        return wanted if wanted in self.config.files[part] else "fp32"

    def shared(self, name: str) -> Path:
        """Return a file that sizes and depths have in common, which may lie above.

        Raises:
            UserError: It is missing.
        """
        return _shared(self.folder, name)


def read_package(
    folder: PathLike, size: Optional[Any] = None, depth: Optional[Any] = None
) -> Package:
    """Read what is said about a deployed model.

    Args:
        folder: Its directory.
        size: One of the sizes that lie in it, such as 50.
        depth: One of the depths, such as 6.

    Raises:
        UserError: No deployed model, an unknown size or depth, a missing file, or a
            config.json that is damaged or of another version.
    """
    folder = Path(folder)
    if size is not None and depth is not None:
        raise UserError("give a size or a depth, not both")
    config = _read_config(folder)
    for what, name, known in (
        ("size", size, config.sizes),
        ("depth", depth, config.depths),
    ):
        if name is None:
            continue
        if str(name) not in known:
            there = f"one of {', '.join(known)}" if known else f"no {what}: it has none"
            raise UserError(f"{folder} has no {what} {name}; give {there}")
        return read_package(folder / known[str(name)])
    text = read_utf8(_shared(folder, "tokens.txt"))
    return Package(folder, config, _tokens(text, _shared(folder, "tokens.txt")))


def inner_folders(folder: PathLike) -> List[str]:
    """Return the directories of the sizes and depths that lie in a deployed one."""
    config = read_json(Path(folder) / "config.json")
    found = [config.get(key, {}).values() for key in ("sizes", "depths")]
    return sorted(name for names in found for name in names)


def _shared(folder: Path, name: str) -> Path:
    for path in (folder / name, folder.resolve().parent / name):
        if path.is_file():
            return path
    raise UserError(f"{folder / name} is missing; copy the directory again")


def _read_config(folder: Path) -> Config:
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(
            f"{folder} is no deployed model: it has no config.json; give the directory "
            "that espnet-prune deploy has written"
        )
    data = read_json(path)
    found = data.get("format") if isinstance(data, Mapping) else None
    if found != FORMAT:
        raise UserError(
            f"{path}: is of format {found}, but this runtime reads format {FORMAT}; "
            "deploy the model again by this version of espnet_prune"
        )
    config = Config(**read_as(Config, data, str(path)))
    allowed = {
        "input": ("speech", "feats"),
        "decoder": ("attention", "transducer", None),
        "precision": PRECISIONS,
    }
    for key, values in allowed.items():
        if getattr(config, key) not in values:
            raise UserError(
                f"{path}: {key} is {getattr(config, key)!r}, must be one of "
                + ", ".join(map(str, values))
            )
    check_keys(config.files, PARTS, f"{path}: files")
    for part, names in config.files.items():
        check_keys(names, PRECISIONS, f"{path}: files: {part}")
    if any("fp32" not in config.files.get(p, {}) for p in ("model", *config.files)):
        raise UserError(f"{path}: files: a part, or its fp32, is missing")
    return config


def _tokens(text: str, path: Path) -> List[str]:
    """Return the tokens of tokens.txt: a token and its id in a line, in order.

    A token may be a space or hold one, so it ends at the last space.
    """
    tokens = []
    for line in text.split("\n"):
        if not line.strip():
            continue
        token, _, number = line.rpartition(" ")
        if number.strip() != str(len(tokens)):
            raise UserError(
                f"{path}: line {len(tokens) + 1} is {line!r}, must be a token and its "
                f"id, {len(tokens)}; deploy the model again"
            )
        tokens.append(token)
    return tokens

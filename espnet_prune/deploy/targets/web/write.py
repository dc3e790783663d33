# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The directory of the page: its files, onnxruntime-web, models, what it is told."""

import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple

from espnet_prune.deploy.targets.symbols import SPACE
from espnet_prune.deploy.targets.web.npm import BINARY, SCRIPT, onnxruntime_web, release
from espnet_prune.runtime.long import sizes_of
from espnet_prune.runtime.package import Package, read_package
from espnet_prune.runtime.text import TextMaker
from espnet_prune.utils import write_json

PAGE = Path(__file__).with_name("page")


class Model(NamedTuple):
    """One model of the page.

    Attributes:
        folder: Where it is in the deployed directory: "" or, of a size or depth, as in
            "size_50".
        name: As in the table.
        package: Its files.
    """

    folder: str
    name: str
    package: Package


def models_of(package: Package) -> Iterator[Model]:
    """Yield the models of a deployed directory, the one above all first."""
    yield Model("", "Whole model", package)
    for kind, folders in (
        ("size", package.config.sizes),
        ("depth", package.config.depths),
    ):
        for name, folder in folders.items():
            below = read_package(package.folder, **{kind: name})
            yield Model(folder, f"{kind.capitalize()} {name}", below)


def write_page(package: Package, folder: Path) -> None:
    """Write a directory that any server of static files can show.

    Args:
        package: The deployed model.
        folder: An empty directory.

    Raises:
        UserError: onnxruntime-web is not there.
    """
    source = onnxruntime_web()
    for path in PAGE.iterdir():
        shutil.copyfile(path, folder / path.name)
    for name in ("onnxruntime", "models"):
        (folder / name).mkdir()
    for name in (SCRIPT, BINARY):
        shutil.copyfile(source / "dist" / name, folder / "onnxruntime" / name)
    rows = [_row(model, folder) for model in models_of(package)]
    smallest = min(rows, key=lambda row: row["files"][row["precision"]]["size"])
    rows[0]["used"] = smallest["used"] = True
    about = {
        "speech": _speech(package),
        "onnxruntime": {
            "version": release(),
            "script": f"./onnxruntime/{SCRIPT}",
            "binary": f"./onnxruntime/{BINARY}",
            "size": (source / "dist" / BINARY).stat().st_size,
        },
        "models": rows,
    }
    write_json(about, folder / "models.json")


def _row(model: Model, folder: Path) -> Dict[str, Any]:
    """Copy the files of a model; return what the page is told of it."""
    files = {}
    for precision in model.package.config.files["model"]:
        path = model.package.file("model", precision)
        name = ".".join(filter(None, [model.folder, path.name]))
        shutil.copyfile(path, folder / "models" / name)
        files[precision] = {"file": f"./models/{name}", "size": path.stat().st_size}
    about = {"folder": model.folder, "name": model.name, "used": False}
    best = model.package.precision("model")
    return {**about, "precision": best, "files": files}


def _speech(package: Package) -> Dict[str, Any]:
    """Return what models take and what their output means."""
    config = package.config
    size, overlap = sizes_of(config)
    return {
        "rate": config.sample_rate,
        "shortest": config.min_samples,
        "frame_ms": config.frame_ms,
        "blank": config.blank,
        "piece_size": size,
        "overlap": overlap,
        "symbols": symbols(package),
    }


def symbols(package: Package) -> Dict[str, Any]:
    """Return how text is made of tokens: what each adds, between two, before a word."""
    text = TextMaker(package)
    kind, tokens = package.config.token_type, package.tokens
    if kind == "bpe":
        tokens = [_shown(text.pieces, token) for token in tokens]
    elif kind == "char":
        tokens = [" " if token == package.config.space else token for token in tokens]
    between = " " if kind == "word" else ""
    return {
        "tokens": tokens,
        "between": between,
        "mark": SPACE if kind == "bpe" else None,
    }


def _shown(pieces: Any, token: str) -> str:
    """Return what sentencepiece makes of a piece; marks of words are as they are."""
    number = pieces.piece_to_id(token)
    if pieces.is_control(number):
        return ""
    known = pieces.id_to_piece(number) == token
    return pieces.decode([token]) if known and pieces.is_unknown(number) else token

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Small things that every room needs: user errors, atomic files, logging."""

import argparse
import contextlib
import functools
import json
import logging
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from espnet_prune.runtime.errors import (  # noqa: F401
    UserError,
    check_keys,
    nearest,
    sentence_of,
)
from espnet_prune.runtime.files import (  # noqa: F401
    PathLike,
    atomic_write,
    decode_utf8,
    read_json,
    read_utf8,
    sha256,
)


def run_main(main: Callable[[], Any]) -> None:
    """Run a command's main function; bad input ends it with exit code 2.

    So does a full disk, a directory that cannot be written or stands for a file, or a
    package that is not installed, wherever it is noticed.
    """
    try:
        main()
    except ImportError as error:
        from espnet_prune.packages import missing_package

        sentence = missing_package(error)
        if sentence is None:
            raise
    except (UserError, OSError) as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
    else:
        return
    print(f"espnet_prune: error: {sentence}", file=sys.stderr)
    sys.exit(2)


def command_parser(doc: Optional[str], **more: Any) -> argparse.ArgumentParser:
    """Return the parser of a command.

    Args:
        doc: Docstring of its module, which --help shows as it is.
        more: More arguments of `argparse.ArgumentParser`.
    """
    form = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=doc, formatter_class=form, **more)


def atomic_link(target: PathLike, path: Path) -> None:
    """Make `path` a link to `target`, atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, path)


@contextlib.contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Yield a directory to fill, which is renamed to `path` on success.

    What another run has put there in the meantime stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        try:
            os.replace(part, path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def atomic_torch_save(obj: Any, path: PathLike, **kwargs: Any) -> None:
    """`torch.save` that never leaves a truncated file behind."""
    import torch

    # the original is kept by torch_save when a trainer has replaced torch.save
    save = getattr(torch.save, "__wrapped__", torch.save)
    with atomic_write(path, "wb") as stream:
        save(obj, stream, **kwargs)


def plain_types() -> List[Any]:
    """Return types that trainers keep beside weights; none of them can run code."""
    import datetime

    import numpy as np

    numbers = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    scalar = getattr(np, "_core", getattr(np, "core", None)).multiarray.scalar
    return [argparse.Namespace, datetime.timedelta, np.dtype, *numbers, scalar]


def load_tensors(path: PathLike, mmap: bool = False) -> Dict[str, Any]:
    """Load a dictionary of tensors and plain values, without running code from it.

    Args:
        path: What `torch.save` has written.
        mmap: Read tensors only when they are used.

    Raises:
        UserError: The file is missing, truncated, or holds other objects.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; {_checkpoints_near(path)}")
    safe = getattr(torch.serialization, "safe_globals", None)
    with safe(plain_types()) if safe else contextlib.nullcontext():
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        except Exception as error:
            raise UserError(
                f"{path}: not a readable checkpoint of tensors {_why(error)}"
            ) from error
    if not isinstance(state, dict):
        raise UserError(f"{path}: holds a {type(state).__name__}, not a state dict")
    return state


def _checkpoints_near(path: Path) -> str:
    """Name the checkpoints that are where one was looked for."""
    folder = path if path.is_dir() else path.parent
    names = sorted(p.name for p in folder.glob("*.pth"))
    if not names:
        return "give an existing .pth file"
    return f"{folder} has {', '.join(names)}, give one of them"


def _why(error: Exception) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found is None:
        return f"({type(error).__name__}); copy or train it again"
    return (
        f"alone: it also holds {found[1]}, which could run code; where you trust it, "
        "save its weights alone to a new file, and give that"
    )


def write_json(obj: Any, path: PathLike) -> None:
    """Write JSON atomically, with an indent that people can read."""
    with atomic_write(path) as stream:
        json.dump(obj, stream, indent=2)
        stream.write("\n")


# text for YAML 1.1, which wants a point and a sign: 1.0e-3, 1.0e+5
_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"


def as_number(value: Any) -> Any:
    """Return the number that a text such as 1e-3 means, also within dictionaries."""
    if isinstance(value, dict):
        return {key: as_number(part) for key, part in value.items()}
    if isinstance(value, str) and re.fullmatch(_NUMBER, value):
        return float(value)
    return value


@functools.lru_cache(maxsize=None)
def _yaml_forms() -> Tuple[Any, Any]:
    """Return a safe loader and dumper for which 1e-3 is a number, as in YAML 1.2.

    Tokens are never numbers: ESPnet writes them without quotes.
    """
    import yaml

    tag = "!number"

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            for key, value in node.value:
                if key.value == "token_list" and isinstance(value, yaml.SequenceNode):
                    for token in value.value:
                        if token.tag == tag:
                            token.tag = "tag:yaml.org,2002:str"
            return super().construct_mapping(node, deep)

    class Dumper(yaml.SafeDumper):
        pass

    for kind in (Loader, Dumper):
        kind.add_implicit_resolver(
            tag, re.compile(f"{_NUMBER}$"), list("-+.0123456789")
        )
    Loader.add_constructor(tag, lambda loader, node: float(node.value))
    return Loader, Dumper


def read_yaml(path: PathLike) -> Any:
    """Read YAML with a safe loader; 1e-3 is a number.

    Raises:
        UserError: The file is missing, is not UTF-8, or is not YAML.
    """
    import yaml

    text = read_utf8(path)
    try:
        return yaml.load(text, _yaml_forms()[0]) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({error})") from error


def read_mapping(path: PathLike) -> Dict[str, Any]:
    """Read YAML that has keys and values, such as a config.yaml.

    Raises:
        UserError: As `read_yaml`, or it is something else.
    """
    found = read_yaml(path)
    if not isinstance(found, dict):
        raise UserError(f"{path}: not a mapping of keys to values")
    return found


def write_yaml(obj: Any, path: PathLike) -> None:
    """Write YAML atomically, block style, keys in the order given."""
    import yaml

    with atomic_write(path) as stream:
        form = {"indent": 4, "sort_keys": False, "allow_unicode": True}
        yaml.dump(obj, stream, _yaml_forms()[1], **form)


def write_changed(obj: Any, path: Path) -> str:
    """Write YAML unless it is there; returns its path."""
    if not path.is_file() or read_yaml(path) != obj:
        write_yaml(obj, path)
    return str(path)


def check_gpus(ngpu: int) -> None:
    """Refuse GPUs that this machine does not have.

    Raises:
        UserError: There are fewer than `ngpu`.
    """
    if ngpu <= 0:
        return
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < ngpu:
        raise UserError(
            f"--ngpu {ngpu}: torch {torch.__version__} finds {found} GPU(s) here; give "
            f"--ngpu {found}, or look at CUDA_VISIBLE_DEVICES, the driver and whether "
            "this torch was built for CUDA"
        )


def setup_logging(level: str = "INFO") -> None:
    """Log to stderr in ESPnet's line format."""
    logging.basicConfig(
        level=level,
        format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s",
    )

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Targets of a deployed model: which are asked for, which fit, and their files."""

import logging
import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from espnet_prune.deploy.proof.compare import NotProven
from espnet_prune.deploy.targets import ALL, TARGETS
from espnet_prune.deploy.targets.compare import Speech, compare
from espnet_prune.deploy.targets.target import Slot, Target
from espnet_prune.runtime.package import Package, read_package
from espnet_prune.utils import UserError, nearest

MOST = 200  # utterances whose texts are compared


class Chosen(NamedTuple):
    """A target that takes a model.

    Attributes:
        target: The runtime.
        slot: The way into it.
        version: Release that is installed.
        strict: Whether it was asked for by name, so that nothing is written without it.
    """

    target: Target
    slot: Slot
    version: Optional[str]
    strict: bool


def named_targets(
    given: Sequence[str], calibration: Optional[str]
) -> Dict[str, Target]:
    """Return the targets of `--for`.

    Args:
        given: Names, some of them with commas between.
        calibration: Where speech is.

    Raises:
        UserError: One is not known, or there is no speech.
    """
    names = _names(given)
    for name in names:
        if name not in (*TARGETS, ALL):
            raise UserError(
                f"--for {name}: is not known{nearest(name, TARGETS)}; give some of "
                f"{', '.join(TARGETS)}, or {ALL}"
            )
    if names and not calibration:
        raise UserError(
            f"--for {','.join(names)}: nothing says that it hears the same; give "
            "speech by --calibration"
        )
    return {name: t for name, t in TARGETS.items() if name in names or ALL in names}


def _names(given: Sequence[str]) -> List[str]:
    return [name.strip() for name in ",".join(given).split(",") if name.strip()]


def choose(
    targets: Mapping[str, Target],
    given: Sequence[str],
    package: Package,
    facts: Mapping[str, Any],
) -> Dict[str, Chosen]:
    """Return how targets take a model.

    Of those that were not asked for by name, what does not fit is told and left out.

    Args:
        targets: See `named_targets`.
        given: What that was given.
        package: The model; its files may not be there yet.
        facts: Content of its config.yaml.

    Raises:
        UserError: A named target does not take it, or is not installed.
    """
    found = {}
    for name, target in targets.items():
        strict = name in _names(given)
        try:
            version = target.version()  # first: slots may ask the package
            slot = target.slot(package, facts)
            found[name] = Chosen(target, slot, version, strict)
        except UserError as error:
            if strict:
                raise
            logging.warning(f"{error}; it is left out")
    for chosen in found.values():
        _tell_release(chosen)
    return found


def _tell_release(chosen: Chosen) -> None:
    target = chosen.target
    if chosen.version not in (None, *target.tried):
        logging.warning(
            f"--for {target.name}: release {chosen.version} of {target.package} is "
            f"installed, {', '.join(target.tried)} was tried; texts are compared with "
            "what is installed"
        )


def write_targets(
    out: Path, chosen: Mapping[str, Chosen], speech: Speech
) -> Dict[str, Any]:
    """Write a deployed model for other runtimes, and compare what these hear.

    Args:
        out: The deployed directory; gets a folder by the name of each target.
        chosen: See `choose`.
        speech: Samples (S,) by utterance.

    Returns:
        What deploy.json says of each: package, version, tried, slot, precision, files,
        texts, limits, usage.

    Raises:
        NotProven: A target that was named hears something else.
    """
    package, found = read_package(out), {}
    precision = package.precision("model")
    for name, (target, slot, version, strict) in chosen.items():
        folder = out / name
        folder.mkdir()
        try:
            slot.write(package, package.file("model", precision), folder)
            heard = [
                compare(slot, folder, out, part, speech)
                for part in slot.parts(package, precision)
            ]
        except NotProven as error:
            if strict:
                raise NotProven(f"--for {name}: {error}") from error
            logging.warning(f"--for {name}: is left out, because {error}")
            shutil.rmtree(folder)
            continue
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        found[name] = {
            "package": target.package,
            "version": version,
            "tried": list(target.tried),
            "slot": slot.name,
            "precision": precision,
            "files": [path.relative_to(out).as_posix() for path in files],
            "texts": _together(heard),
            "limits": list(slot.limits),
            "usage": slot.usage,
        }
    return found


def _together(heard: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """Return what was heard by all models of a target, as one."""
    counts = {key: sum(one[key] for one in heard) for key in ("alike", "of")}
    differ = [
        {"model": one["model"], "precision": one["precision"], **row}
        for one in heard
        for row in one["differ"]
    ]
    parts = [
        {key: value for key, value in one.items() if key != "differ"} for one in heard
    ]
    return {**counts, "differ": differ, "models": parts}

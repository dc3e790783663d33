# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A proof of what was deployed before; the model is found by what was recorded."""

import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from espnet_prune.deploy.proof import lines, prove
from espnet_prune.deploy.proof.compare import NotProven
from espnet_prune.deploy.proof.facts import PROOF
from espnet_prune.deploy.variants import Variant
from espnet_prune.source import Source, find_model
from espnet_prune.utils import UserError, read_json, sha256, write_json

Files = Mapping[str, Any]


def source_of(config: Path, checkpoint: Path, **more: Any) -> Dict[str, Any]:
    """Return what is recorded of a model that is deployed.

    Args:
        config: Its config.yaml.
        checkpoint: Its checkpoint.
        more: How the model is loaded, see `Variant`: "blocks", "task", "decoder".
    """
    files = {"config": config, "checkpoint": checkpoint}
    paths = {name: os.path.abspath(path) for name, path in files.items()}
    return {**paths, "sha256": {n: sha256(p) for n, p in files.items()}, **more}


def prove_again(
    out: Path, model: Optional[str] = None, audio: Optional[str] = None
) -> List[str]:
    """Prove a directory; a proof that fails is recorded as one.

    Args:
        out: The directory.
        model: Where the model is now.
        audio: Whose texts are compared, too.

    Returns:
        What was found, in lines.

    Raises:
        UserError: The model is not to be found or is another one, or a file differs.
    """
    before = read_json(out / PROOF) if (out / PROOF).is_file() else {}
    source = found(out, before.get("source") or {}, model)
    files = Source(Path(source["config"]), Path(source["checkpoint"]))
    variant = Variant("", "", "", files, source.get("blocks"))
    whole, config = variant.load(source.get("task"), source.get("decoder", True))
    try:
        targets = _same_targets(out, before)
        return lines(prove(out, whole, config, source, audio, targets))
    except NotProven as error:
        failed = {**before, "source": source, "passed": False, "why": str(error)}
        write_json(failed, out / PROOF)
        raise NotProven(f"{out}: {error}") from error


def _same_targets(out: Path, before: Files) -> Files:
    """Return what is recorded of files for other runtimes, which are as they were.

    Raises:
        NotProven: One is not the file whose texts were compared.
    """
    targets = before.get("targets", {})
    for name in (name for target in targets.values() for name in target["files"]):
        path = out / name
        if not path.is_file() or sha256(path) != before["sha256"].get(name):
            raise NotProven(
                f"{name} is missing, or not the file whose texts were compared; deploy "
                "the model again, with --for"
            )
    return targets


def found(out: Path, source: Files, model: Optional[str]) -> Dict[str, Any]:
    """Return the source of a directory as it is to be recorded.

    Raises:
        UserError: It is not there, or another one.
    """
    if model is not None:
        given = find_model(model, out)
        paths = {"config": given.config, "checkpoint": given.model_file}
    else:
        paths = {key: Path(source.get(key, "")) for key in ("config", "checkpoint")}
    for key, path in paths.items():
        if not path.is_file():
            raise UserError(
                f"{out}: the {key} that it was made of, {source.get(key, 'unknown')}, "
                "is not there; say where the model is now with --model, or check what "
                "was recorded with --recorded"
            )
        wanted = source.get("sha256", {}).get(key)
        if key == "checkpoint" and wanted not in (None, sha256(path)):
            raise UserError(
                f"{path}: is another {key} than the one {out} was made of; give that "
                "one with --model, or deploy this one"
            )
    more = {k: v for k, v in source.items() if k not in (*paths, "sha256")}
    return source_of(paths["config"], paths["checkpoint"], **more)

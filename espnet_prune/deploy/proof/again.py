# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A proof of what was deployed before; the model is found by what was recorded."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from espnet_prune.deploy.proof import lines, prove
from espnet_prune.deploy.proof.facts import PROOF
from espnet_prune.models import load_model
from espnet_prune.units.blocks import set_blocks
from espnet_prune.utils import UserError, read_json, sha256, write_json

Files = Mapping[str, Any]


def source_of(config: Path, checkpoint: Path, **more: Any) -> Dict[str, Any]:
    """Return what is recorded of a model that is deployed.

    Args:
        config: Its config.yaml.
        checkpoint: Its checkpoint.
        more: What else the model depends on: "blocks" that run (0-based), "task".
    """
    files = {"config": config, "checkpoint": checkpoint}
    paths = {name: str(path.resolve()) for name, path in files.items()}
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
    files = source["config"], source["checkpoint"]
    whole, config = load_model(*files, source.get("task"))
    if source.get("blocks") is not None:
        set_blocks(whole.encoder, list(whole.encoder.encoders), source["blocks"])
    try:
        return lines(prove(out, whole, config, source, audio))
    except UserError as error:
        failed = {**before, "source": source, "passed": False, "why": str(error)}
        write_json(failed, out / PROOF)
        raise


def found(out: Path, source: Files, model: Optional[str]) -> Dict[str, Any]:
    """Return the source of a directory as it is to be recorded.

    Raises:
        UserError: It is not there, or another one.
    """
    if model is not None:
        from espnet_prune.source import find_model

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

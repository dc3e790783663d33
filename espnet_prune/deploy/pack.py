# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One archive that ESPnet's model zoo unpacks and `Speech2Text` loads."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from espnet_prune.model_files import FILE_KEYS, find_checkpoint
from espnet_prune.models import load_model, read_model_config, save_model
from espnet_prune.report.card import model_card
from espnet_prune.runtime.check import PROOF, check_files
from espnet_prune.tasks import ASR, task_of
from espnet_prune.tensor_names import as_written
from espnet_prune.utils import UserError, load_tensors, read_json, sha256, write_yaml

EXTRAS = (
    "structure.json",
    "cost.json",
    "RESULTS.md",
    "report.html",
    "depth_table.json",
)
DEPLOYED = "deploy"  # directory of stage 20
_PACKED = ("asr", "st", "s2t")  # kinds of models that ESPnet's packer knows


def _copy_named_files(config: Dict[str, Any], stage: Path, folder: Path) -> List[str]:
    """Copy the files that a config names, and name the copies instead.

    Returns:
        Their names relative to `stage`.

    Raises:
        UserError: A file is missing.
    """
    names = []
    for *parents, key in FILE_KEYS:
        owner: Any = config
        for parent in parents:
            owner = owner.get(parent) or {}
        path = owner.get(key)
        if path is None:
            continue
        if not Path(path).is_file():
            raise UserError(
                f"config.yaml: {'.'.join([*parents, key])} {path} is not there; ESPnet "
                "keeps paths relative to the recipe, so call this from its directory"
            )
        target = folder / Path(path).name
        shutil.copyfile(path, target)
        owner[key] = str(target.relative_to(stage))
        names.append(owner[key])
    return names


def _copy_weights(exp_dir: Path, model: str, target: Path) -> None:
    """Copy a checkpoint's weights, as every release of ESPnet loads them.

    Raises:
        UserError: It does not fit its config.
    """
    path = exp_dir / model
    loaded, _ = load_model(exp_dir / "config.yaml", path)
    if as_written(loaded, loaded.state_dict()).keys() == load_tensors(path).keys():
        shutil.copyfile(path, target)
    else:
        save_model(loaded, target)


def _copy_deployed(exp_dir: Path, model: str, folder: Path) -> Dict[str, Any]:
    """Copy what `deploy` has written beside a model, if that is of this checkpoint.

    Returns:
        What its deploy.json says; nothing where there is none.
    """
    deployed = exp_dir / DEPLOYED
    if not (deployed / PROOF).is_file():
        return {}
    proof = read_json(deployed / PROOF)
    made_of = (proof.get("source") or {}).get("sha256", {}).get("checkpoint")
    if made_of != sha256(exp_dir / model) or not proof["passed"]:
        logging.warning(
            f"{deployed}: is not packed, because it is of another checkpoint than "
            f"{model}, or its proof has failed; deploy the model again"
        )
        return {}
    check_files(deployed, proof)
    left = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(deployed, folder / DEPLOYED, ignore=left)
    return proof


def lay_out(exp_dir: Path, model: str, stage: Path, repo: Optional[str]) -> List[str]:
    """Gather a model and what belongs to it under one folder.

    Args:
        exp_dir: ESPnet experiment directory.
        model: File name of the checkpoint in it.
        stage: Empty folder.
        repo: Name on the hub, for the card.

    Returns:
        Names of all files besides config and checkpoint, relative to `stage`.

    Raises:
        UserError: A file is missing or the model is not one of ESPnet's.
    """
    find_checkpoint(exp_dir, model)
    config = read_model_config(exp_dir / "config.yaml")
    folder = stage / "exp" / exp_dir.resolve().name
    folder.mkdir(parents=True)
    _copy_weights(exp_dir, model, folder / model)
    names = _copy_named_files(config, stage, folder)
    write_yaml(config, folder / "config.yaml")
    found = [exp_dir / name for name in EXTRAS]
    # the cut model's structure is that of the recovered one
    if not found[0].is_file():
        found[0] = exp_dir / "cut" / EXTRAS[0]
    found += sorted((exp_dir / "images").glob("*.png"))
    for path in found:
        if path.is_file():
            target = folder / ("images" if path.suffix == ".png" else "") / path.name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
            names.append(str(target.relative_to(stage)))
    proof = _copy_deployed(exp_dir, model, folder)
    copies = sorted((folder / DEPLOYED).rglob("*"))
    names += [str(path.relative_to(stage)) for path in copies if path.is_file()]
    path = exp_dir / "report.json"
    report = read_json(path) if path.is_file() else None
    card = model_card(folder.name, config, report, repo, proof)
    (stage / "README.md").write_text(card, encoding="utf-8")
    return [*names, "README.md"]


def pack(exp_dir: Path, model: str, output: Path, repo: Optional[str] = None) -> None:
    """Write an archive by ESPnet's own packer, and try it before it gets its name.

    Args:
        exp_dir: ESPnet experiment directory.
        model: File name of the checkpoint in it.
        output: Archive to write, ending in .zip.
        repo: Name on the hub, for the card.

    Raises:
        UserError: A file is missing, another ending, or the packer failed, or what
            comes out of the archive does not load.
    """
    if output.suffix != ".zip":
        raise UserError(f"--output {output}: the name of the archive must end in .zip")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".pack.") as temporary:
        stage = Path(temporary) / "stage"
        stage.mkdir()
        names = lay_out(exp_dir, model, stage, repo)
        folder = f"exp/{exp_dir.resolve().name}"
        archive = Path(temporary).resolve() / output.name
        kind = packed_as(read_model_config(exp_dir / "config.yaml"))
        command = [sys.executable, "-m", "espnet2.bin.pack", kind]
        command += ["--outpath", str(archive)]
        command += [f"--{kind}_train_config", f"{folder}/config.yaml"]
        command += [f"--{kind}_model_file", f"{folder}/{model}"]
        for name in names:
            command += ["--option", name]
        done = subprocess.run(command, cwd=stage, capture_output=True, text=True)
        if done.returncode != 0:
            raise UserError(f"ESPnet's packer failed: {done.stderr.strip()[-300:]}")
        check(archive, Path(temporary) / "unpacked", kind)
        os.replace(archive, output)
    logging.info(f"{output}: {os.path.getsize(output) / 1e6:.1f} MB")


def packed_as(config: Mapping[str, Any]) -> str:
    """Return what ESPnet's packer, and what decodes, call a model's files by.

    Args:
        config: Its config.yaml.
    """
    prefix = task_of(config).prefix
    return prefix if prefix in _PACKED else ASR.prefix


def check(archive: Path, folder: Path, kind: str = ASR.prefix) -> None:
    """Unpack an archive as the model zoo does, and load the model strictly.

    Args:
        archive: The archive.
        folder: Where to.
        kind: See `packed_as`.

    Raises:
        UserError: The model does not load.
    """
    from espnet2.main_funcs.pack_funcs import unpack

    files = unpack(archive, folder)
    load_model(files[f"{kind}_train_config"], files[f"{kind}_model_file"])


def upload(archive: Path, repo: str, private: bool = False) -> str:
    """Put the content of an archive on the Hugging Face hub, in ESPnet's layout.

    Args:
        archive: Result of `pack`.
        repo: "user/model"; made if it is not there.
        private: Whether a new repository is private.

    Returns:
        Address of the commit.

    Raises:
        UserError: huggingface_hub is not installed, or the hub refused.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise UserError(
            "uploading needs huggingface_hub: pip install huggingface_hub"
        ) from error
    api = HfApi()
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(archive) as content:
            content.extractall(folder)
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            done = api.upload_folder(repo_id=repo, folder_path=folder)
        except Exception as error:
            raise UserError(
                f"--hf_repo {repo}: {str(error).strip().splitlines()[0]} (log in with "
                "`hf auth login`, or set HF_TOKEN)"
            ) from error
    return str(getattr(done, "commit_url", done))

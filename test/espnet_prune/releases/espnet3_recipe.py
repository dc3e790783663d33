# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A recipe of espnet3 on tones: files, and a command that trains there.

    python test/espnet_prune/releases/espnet3_recipe.py

With espnet 202611 and lightning it writes releases/espnet3: what espnet3 leaves of two
epochs, and output.npy (frames, 8), what the encoder of the average makes of the first
utterance for validation, by the release alone.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Optional

import yaml

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from test.espnet_prune.releases.make import CONFIG, encoder_output  # noqa: E402
from test.espnet_prune.tones import make_data  # noqa: E402

RUN = """from espnet3.systems.base.system import BaseSystem
from espnet3.systems.launch import launch

if __name__ == "__main__":
    launch(BaseSystem, conf_package="egs3.TEMPLATE.esp2_asr")
"""
DATASET = """import soundfile
from espnet3.components.data.base_dataset import BaseDataset
from espnet3.components.data.dataset_builder import DatasetBuilder as Builder
from espnet3.contract import Field


class DatasetBuilder(Builder):
    def is_source_prepared(self, recipe_dir, **kwargs):
        return True

    def prepare_source(self, recipe_dir, **kwargs):
        pass

    def is_built(self, recipe_dir, **kwargs):
        return True

    def build(self, recipe_dir, **kwargs):
        pass


class Dataset(BaseDataset):
    fields = (Field("speech", "audio"), Field("text", "text"))

    def __init__(self, split, recipe_dir=None):
        lines = open(f"data/{split}_text").read().splitlines()
        self.split, self.texts = split, [line.split()[1] for line in lines]

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, i):
        wave, _ = soundfile.read(f"data/{self.split}{i}.wav", dtype="float32")
        return {"speech": wave, "text": self.texts[int(i)]}
"""
MODEL_KEYS = ("frontend_conf", "encoder", "encoder_conf", "decoder", "decoder_conf")


def training(task: str = "espnet3.systems.esp2_asr.task.ASRTask") -> Dict[str, Any]:
    """Return conf/training.yaml: the model of the releases, under Lightning."""
    splits = {s: [{"data_src_args": {"split": s}}] for s in ("train", "valid")}
    preprocessor = {
        "_target_": "espnet2.train.preprocessor.CommonPreprocessor",
        "token_type": "char",
        "token_list": "${data_dir}/tokens.txt",
    }
    sizes = {"type": "unsorted", "batch_size": 4}
    sizes = {"iter_factory": {"batches": sizes}}
    model = {key: CONFIG[key] for key in (*MODEL_KEYS, "model_conf")}
    model["normalize"] = "utterance_mvn"
    model["token_list"] = "${data_dir}/tokens.txt"
    return {
        "task": task,
        "dataset": {**splits, "preprocessor": preprocessor},
        "model": model,
        "optimizer": {"lr": 0.01},
        "scheduler": {"warmup_steps": 2},
        "best_model_criterion": [["valid/acc", 10, "max"]],
        "parallel": None,
        "seed": 0,
        "dataloader": {"train": sizes, "valid": sizes},
        "trainer": {"accelerator": "cpu", "log_every_n_steps": 1, "max_epochs": 3},
    }


def make_recipe(folder: Path, conf: Optional[Dict[str, Any]] = None) -> None:
    """Write the recipe, its data and shapes; the paths in it are relative.

    Args:
        folder: Where; it is made.
        conf: conf/training.yaml, by default `training()`.
    """
    make_data(folder / "data")
    for name, text in (("run.py", RUN), ("dataset/__init__.py", DATASET)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for split, number in (("train", 12), ("valid", 4)):  # of collect_stats
        shapes = folder / "exp/stats" / split / "feats_shape"
        shapes.parent.mkdir(parents=True)
        shapes.write_text("".join(f"{i} 50,16\n" for i in range(number)))
    (folder / "conf").mkdir()
    (folder / "conf/training.yaml").write_text(yaml.safe_dump(conf or training()))


def train(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Train as a recipe does; what it says is one text."""
    command = [sys.executable, "run.py", "--stages", "train"]
    command += ["--training_config", "conf/training.yaml"]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main() -> None:
    """Train, and keep what tests need."""
    import numpy as np

    target = ROOT / "test/espnet_prune/releases/espnet3"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "recipe"
        make_recipe(folder)
        done = train(folder)
        assert done.returncode == 0, done.stdout
        exp = folder / "exp/training"
        shutil.rmtree(target, ignore_errors=True)
        (target / "exp/training").mkdir(parents=True)
        (target / "data").mkdir()
        shutil.copyfile(folder / "data/tokens.txt", target / "data/tokens.txt")
        for path in (
            exp / "config.yaml",
            exp / "valid.acc.ave_2best.pth",
            next(exp.glob("epoch2_*.ckpt")),
        ):
            shutil.copyfile(path, target / "exp/training" / path.name)
            print(f"{path.name}: {path.stat().st_size} bytes")
        os.chdir(folder)
        average = "exp/training/valid.acc.ave_2best.pth"
        heard = encoder_output("exp/training/config.yaml", average)
        np.save(target / "output.npy", heard)


if __name__ == "__main__":
    main()

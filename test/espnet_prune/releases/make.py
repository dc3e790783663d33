# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Train the experiment of a release that stands in this folder, by that release alone.

    python test/espnet_prune/releases/make.py

Run it with the Python of the release; it writes test/espnet_prune/releases/RELEASE
with config.yaml, the weights of one epoch, checkpoint.pth of the next, and what the
encoder of that makes of the first utterance for validation: output.npy (frames, 8).
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from test.espnet_prune.tones import make_data  # noqa: E402

CONFIG = {
    "token_type": "char",
    "frontend_conf": {"fs": 16000, "n_fft": 256, "hop_length": 160, "n_mels": 16},
    "normalize": "utterance_mvn",
    "encoder": "conformer",
    "encoder_conf": {
        "output_size": 8,
        "attention_heads": 2,
        "linear_units": 8,
        "num_blocks": 2,
        "rel_pos_type": "latest",
        "macaron_style": False,
        "cnn_module_kernel": 3,
    },
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 8, "num_blocks": 1},
    "model_conf": {"ctc_weight": 0.5, "report_cer": False, "report_wer": False},
    "optim": "sgd",
    "optim_conf": {"lr": 0.05},
    "batch_type": "unsorted",
    "batch_size": 4,
    "max_epoch": 2,
    "keep_nbest_models": 2,
    "best_model_criterion": [["valid", "acc", "max"], ["valid", "loss", "min"]],
    "num_att_plot": 0,
    "num_workers": 0,
    "use_matplotlib": False,
    "use_tensorboard": False,
}
FILES = ("config.yaml", "1epoch.pth", "checkpoint.pth")


def options() -> list:
    """Return the data options, relative to the folder of the data."""
    found = ["--token_list", "data/tokens.txt", "--ngpu", "0"]
    for split in ("train", "valid"):
        data = f"--{split}_data_path_and_name_and_type"
        found += [data, f"data/{split}_wav.scp,speech,sound"]
        found += [data, f"data/{split}_text,text,text"]
        found += [f"--{split}_shape_file", f"data/{split}_shape"]
    return found


def encoder_output(config: str, model_file: str) -> np.ndarray:
    """Return what the stock model makes of the first utterance, (frames, 8)."""
    from espnet2.tasks.asr import ASRTask

    model, _ = ASRTask.build_model_from_file(config, model_file)
    speech = torch.tensor(soundfile.read("data/valid0.wav", dtype="float32")[0])
    with torch.no_grad():
        hidden, _ = model.eval().encode(speech[None], torch.tensor([len(speech)]))
    return hidden[0].numpy()


def main() -> None:
    """Train, and keep what tests need."""
    release = importlib.metadata.version("espnet")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_data(Path("data"))
        Path("train.yaml").write_text(yaml.safe_dump(CONFIG))
        command = [sys.executable, "-m", "espnet2.bin.asr_train", "--output_dir", "exp"]
        command += ["--config", "train.yaml", *options()]
        subprocess.run(command, check=True)
        target = HERE / release
        target.mkdir(exist_ok=True)
        for name in FILES:
            shutil.copyfile(Path("exp") / name, target / name)
            print(f"{release}/{name}: {(target / name).stat().st_size} bytes")
        np.save(
            target / "output.npy", encoder_output("exp/config.yaml", "exp/latest.pth")
        )


if __name__ == "__main__":
    main()

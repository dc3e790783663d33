# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A recipe that runs from waveforms to the report in minutes: tones spell letters.

An intent, which names the first of them, stands before the letters.
"""

import shutil
from pathlib import Path

import numpy as np
import soundfile
import yaml

REPO = Path(__file__).resolve().parents[2]
TEMPLATE = REPO / "egs2" / "TEMPLATE" / "asr_prune1"
TONES = dict(zip("ABCD", (400, 800, 1600, 3200)))
TRAIN = {
    "batch_type": "sorted",
    "batch_size": 8,
    "optim": "adam",
    "num_workers": 0,
    "use_matplotlib": False,
    "use_tensorboard": False,
    "best_model_criterion": [["valid", "acc", "max"]],
    "keep_nbest_models": 1,
}
DENSE = {
    **TRAIN,
    "max_epoch": 4,
    "optim_conf": {"lr": 0.003},
    "frontend_conf": {"n_fft": 512, "hop_length": 160, "n_mels": 40},
    "encoder": "conformer",
    "encoder_conf": {
        "output_size": 16,
        "attention_heads": 2,
        "linear_units": 32,
        "num_blocks": 2,
        "macaron_style": True,
        "rel_pos_type": "latest",
        "cnn_module_kernel": 7,
    },
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 16, "num_blocks": 1},
    "model_conf": {"ctc_weight": 0.5},
}
PRUNE = {
    "method": "l0",
    "budget": {"kind": "params", "sparsity": 0.5},
    "l0_conf": {"ramp_steps": 16, "gate_lr": 0.8, "log_interval": 2},
    "distill_conf": {"layers": 2},
    "train_conf": {**TRAIN, "max_epoch": 5, "optim_conf": {"lr": 0.001}},
}
RECOVER = {
    **TRAIN,
    "max_epoch": 2,
    "optim_conf": {"lr": 0.001},
    "distill_conf": {"layers": 2},
}
OPTIONS = "--token_type char --test_sets test --nj 1 --inference_nj 1"
OPTIONS += " --use_intent true"
DECODE = {"beam_size": 1, "ctc_weight": 0.5, "maxlenratio": -8}


def make_corpus(folder):
    """Write Kaldi-style directories with tones of 0.12 s."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 32), ("dev", 4), ("test", 4)):
        lines = {"wav.scp": [], "text": [], "utt2spk": []}
        (folder / name).mkdir(parents=True)
        for i in range(count):
            letters = "".join(rng.choice(list(TONES), rng.integers(3, 6)))
            time = np.arange(1920) / 16000
            wave = [np.sin(2 * np.pi * TONES[x] * time) for x in letters]
            wave = 0.3 * np.concatenate(wave)
            wave = wave + 0.01 * rng.standard_normal(len(wave))
            path = folder / name / f"{name}{i:02d}.flac"
            soundfile.write(path, wave, 16000)
            lines["wav.scp"].append(f"{path.stem} {name}/{path.name}")
            intent = f"from_{letters[0].lower()}"
            lines["text"].append(f"{path.stem} {intent} {letters}")
            lines["utt2spk"].append(f"{path.stem} {path.stem}")
        for file, content in lines.items():
            (folder / name / file).write_text("\n".join(content) + "\n")


def make_recipe(root):
    """Write ROOT/corpus and a recipe for it; returns the recipe's directory."""
    make_corpus(root / "corpus")
    shutil.copytree(TEMPLATE, root / "egs2" / "TEMPLATE" / "asr_prune1")
    (root / "espnet_prune").symlink_to(REPO / "espnet_prune")
    folder = root / "egs2" / "tones" / "asr_prune1"
    (folder / "conf").mkdir(parents=True)
    for name in ("prune.sh", "path.sh", "cmd.sh", "scripts"):
        (folder / name).symlink_to(f"../../TEMPLATE/asr_prune1/{name}")
    for name, conf in (
        ("train_asr", DENSE),
        ("prune", PRUNE),
        ("recover", RECOVER),
        ("decode_asr", DECODE),
    ):
        (folder / "conf" / f"{name}.yaml").write_text(yaml.safe_dump(conf))
    words = f"--data_dir {root}/corpus {OPTIONS}"
    (folder / "run.sh").write_text(f'#!/usr/bin/env bash\n./prune.sh {words} "$@"\n')
    (folder / "run.sh").chmod(0o755)
    return folder

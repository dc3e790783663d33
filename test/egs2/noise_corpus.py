# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A corpus of noise for the data stages, and the command that runs them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["ONE TWO", "THREE FOUR FIVE", "TWO SIX", "SEVEN ONE"]


def make_corpus(root):
    """Write a corpus of three sets with paths relative to its folder; returns it."""
    rng = np.random.default_rng(0)
    for name in ("train", "dev", "test"):
        folder = root / name
        folder.mkdir(parents=True)
        wav, text, spk = [], [], []
        for i, words in enumerate(TEXTS):
            utt = f"{name}{i}"
            (root / "audio").mkdir(exist_ok=True)
            noise = rng.uniform(-0.1, 0.1, 16000 + 800 * i)
            soundfile.write(root / "audio" / f"{utt}.flac", noise, 16000)
            wav.append(f"{utt} audio/{utt}.flac\n")
            text.append(f"{utt} {words}\n")
            spk.append(f"{utt} {name}spk{i % 2}\n")
        (folder / "wav.scp").write_text("".join(wav))
        (folder / "text").write_text("".join(text))
        (folder / "utt2spk").write_text("".join(spk))
    return root


def run(cwd, *args):
    """Run the command; returns the finished process."""
    cmd = [sys.executable, "-m", "espnet_prune.bin.data_prep", *map(str, args)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(cmd, cwd=cwd, capture_output=True, text=True, env=env)


def keys(path):
    return [line.split()[0] for line in path.read_text().splitlines()]

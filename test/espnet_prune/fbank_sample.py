# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The repository's trained model with Kaldi's filter banks for features.

Statistics are those of its test utterances, and nothing is trained, so that it hears
worse than the model that it was made of.
"""

from pathlib import Path
from typing import List

import numpy as np
import soundfile
import torch
import yaml

from espnet_prune.frontends.kaldi_fbank import KaldiFbank
from espnet_prune.utils import write_yaml

SAMPLE = Path(__file__).parents[2] / "egs2" / "an4" / "asr_prune1" / "sample"


def waves() -> List[np.ndarray]:
    """Return the test utterances (S,) in float32, sorted by name."""
    files = sorted((SAMPLE / "audio").glob("*.flac"))
    return [soundfile.read(path, dtype="float32")[0] for path in files]


def write_fbank_sample(folder: Path) -> None:
    """Write config.yaml, feats_stats.npz and a checkpoint into a new folder."""
    folder.mkdir(parents=True)
    front = KaldiFbank()
    rows = torch.cat(
        [
            front(torch.from_numpy(x)[None], torch.tensor([len(x)]))[0][0]
            for x in waves()
        ]
    ).double()
    sums = {"sum": rows.sum(0).numpy(), "sum_square": rows.square().sum(0).numpy()}
    np.savez(folder / "feats_stats.npz", count=len(rows), **sums)
    config = yaml.safe_load((SAMPLE / "model/config.yaml").read_text())
    config["frontend"], config["frontend_conf"] = "kaldi_fbank", {"fs": 16000}
    config["normalize_conf"] = {"stats_file": str(folder / "feats_stats.npz")}
    write_yaml(config, folder / "config.yaml")
    state = torch.load(SAMPLE / "model/valid.acc.ave.pth")
    del state["frontend.logmel.melmat"]
    state["normalize.mean"] = rows.mean(0).float()
    state["normalize.std"] = rows.std(0, correction=0).float()
    torch.save(state, folder / "valid.acc.ave.pth")

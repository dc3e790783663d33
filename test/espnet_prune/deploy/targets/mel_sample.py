# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The repository's trained model with other mel bands, and a map between the two.

The map is the best linear one on its test utterances; nothing is trained. So the model
hears what it heard, nearly.
"""

from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import soundfile
import torch
import yaml
from espnet2.asr.frontend.default import DefaultFrontend

from espnet_prune.utils import write_yaml

SAMPLE = Path(__file__).parents[4] / "egs2" / "an4" / "asr_prune1" / "sample"
# what onnx-asr's gigaam-v2-ctc computes
BANDS: Dict[str, Any] = {
    "fs": 16000,
    "n_fft": 400,
    "win_length": 400,
    "hop_length": 160,
    "n_mels": 64,
    "htk": True,
}


def waves() -> List[np.ndarray]:
    """Return the test utterances (S,) in float32, sorted by name."""
    files = sorted((SAMPLE / "audio").glob("*.flac"))
    return [soundfile.read(path, dtype="float32")[0] for path in files]


def write_mel_sample(folder: Path) -> Path:
    """Write config.yaml, feats_stats.npz and a checkpoint into a new folder."""
    folder.mkdir(parents=True)
    config = yaml.safe_load((SAMPLE / "model/config.yaml").read_text())
    state = torch.load(SAMPLE / "model/valid.acc.ave.pth")
    new = DefaultFrontend(**BANDS)
    wanted = _features(DefaultFrontend(**config["frontend_conf"]))
    wanted = (wanted - state["normalize.mean"]) / state["normalize.std"]
    found = _features(new)
    sums = {"sum": found.sum(0).numpy(), "sum_square": found.square().sum(0).numpy()}
    np.savez(folder / "feats_stats.npz", count=len(found), **sums)
    mean, std = found.mean(0), found.std(0, correction=0)
    given = torch.cat([(found - mean) / std, torch.ones(len(found), 1)], 1)
    best = torch.linalg.lstsq(given, wanted.double()).solution.float()
    state["normalize.mean"], state["normalize.std"] = mean.float(), std.float()
    state["frontend.logmel.melmat"] = new.logmel.melmat
    state["preencoder.linear_out.weight"] = best[:-1].T.contiguous()
    state["preencoder.linear_out.bias"] = best[-1].clone()
    torch.save(state, folder / "valid.acc.ave.pth")
    config["frontend_conf"] = dict(BANDS)
    config["normalize_conf"] = {"stats_file": str(folder / "feats_stats.npz")}
    config["preencoder"] = "linear"
    config["preencoder_conf"] = {"input_size": 64, "output_size": 80, "dropout": 0.0}
    write_yaml(config, folder / "config.yaml")
    return folder


def _features(front: DefaultFrontend) -> torch.Tensor:
    """Return the features (T, M) of all utterances, in float64."""
    rows = []
    for wave in waves():
        x = torch.from_numpy(wave)[None]
        rows.append(front(x, torch.tensor([len(wave)]))[0][0])
    return torch.cat(rows).double()

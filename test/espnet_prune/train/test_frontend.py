# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Models with a front end of ours: statistics, training and decoding in ESPnet."""

import numpy as np
import torch

FRONT = {"fs": "16k", "n_mels": 20}


def test_statistics_training_and_decoding(tiny, train):
    from espnet2.bin.asr_inference import Speech2Text

    from espnet_prune.frontends.kaldi_fbank import KaldiFbank

    front = {"frontend": "kaldi_fbank", "frontend_conf": FRONT}
    none = {"normalize": None, "specaug": None, "specaug_conf": None}
    path = tiny.write_config(tiny.root / "fbank/stats.yaml", **front, **none)
    stats, out = tiny.root / "fbank/stats", tiny.root / "fbank/exp"
    more = ["--collect_stats", "true", "--output_dir", str(stats)]
    train(["--config", path, *more, *tiny.options])
    sums = np.load(stats / "train/feats_stats.npz")
    assert sums["sum"].shape == (20,)
    shapes = (stats / "train/speech_shape").read_text().split()[1::2]
    assert sums["count"] == sum((int(n) - 400) // 160 + 1 for n in shapes)

    norm = {"stats_file": str(stats / "train/feats_stats.npz")}
    more = {"normalize": "global_mvn", "normalize_conf": norm, "max_epoch": 1}
    path = tiny.write_config(tiny.root / "fbank/train.yaml", **front, **more)
    train(["--config", path, "--output_dir", str(out), *tiny.options])
    heard = Speech2Text(out / "config.yaml", out / "valid.acc.ave.pth", beam_size=1)
    assert isinstance(heard.asr_model.frontend, KaldiFbank)
    assert isinstance(heard(torch.randn(16000))[0][0], str)

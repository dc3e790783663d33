# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A corpus of tones and a model of a few thousand parameters, for training tests."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List

import pytest
import torch
import yaml

from test.espnet_prune.tones import make_data

CONFIG: Dict[str, Any] = dict(
    token_type="char",
    frontend="default",
    frontend_conf=dict(fs=16000, n_fft=256, hop_length=160, n_mels=20),
    normalize="utterance_mvn",
    specaug="specaug",
    specaug_conf=dict(
        apply_time_warp=False,
        apply_freq_mask=True,
        freq_mask_width_range=[0, 4],
        apply_time_mask=True,
        time_mask_width_range=[0, 4],
    ),
    encoder="conformer",
    encoder_conf=dict(
        output_size=16,
        attention_heads=2,
        linear_units=24,
        num_blocks=2,
        input_layer="conv2d",
        macaron_style=True,
        rel_pos_type="latest",
        pos_enc_layer_type="rel_pos",
        selfattention_layer_type="rel_selfattn",
        use_cnn_module=True,
        cnn_module_kernel=7,
    ),
    decoder="transformer",
    decoder_conf=dict(attention_heads=2, linear_units=24, num_blocks=1),
    model_conf=dict(ctc_weight=0.5, report_cer=False, report_wer=False),
    optim="adam",
    optim_conf=dict(lr=0.002),
    scheduler="warmuplr",
    scheduler_conf=dict(warmup_steps=10),
    batch_type="unsorted",
    batch_size=4,
    max_epoch=3,
    keep_nbest_models=2,
    best_model_criterion=[["valid", "acc", "max"]],
    num_workers=0,
    use_matplotlib=False,
    use_tensorboard=False,
    log_interval=2,
)


def write_config(path: Path, **changes: Any) -> str:
    """Write the tiny config with some keys changed; None removes a key."""
    config = {**CONFIG, **changes}
    config = {key: value for key, value in config.items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return str(path)


def data_options(root: Path) -> List[str]:
    """Return the data options of the training command."""
    options = ["--token_list", str(root / "tokens.txt"), "--ngpu", "0"]
    for split in ("train", "valid"):
        for kind, name, form in (
            ("wav.scp", "speech", "sound"),
            ("text", "text", "text"),
        ):
            options += [
                f"--{split}_data_path_and_name_and_type",
                f"{root}/{split}_{kind},{name},{form}",
            ]
        options += [f"--{split}_shape_file", f"{root}/{split}_shape"]
    return options


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return the corpus and the helpers of this file."""
    root = tmp_path_factory.mktemp("tiny")
    make_data(root / "data")
    return SimpleNamespace(
        root=root,
        data=root / "data",
        config=CONFIG,
        write_config=write_config,
        options=data_options(root / "data"),
    )


@pytest.fixture(scope="module")
def train():
    pytest.importorskip("espnet2")
    torch.set_num_threads(1)
    import espnet_prune.train.command  # noqa: F401  importing ESPnet prints a line
    from espnet_prune.bin import asr_train

    return asr_train.main


@pytest.fixture(scope="module")
def dense(tiny, train):
    """Train the teacher once."""
    path = tiny.root / "dense"
    config = tiny.write_config(tiny.root / "dense.yaml", max_epoch=2)
    train(["--config", config, "--output_dir", str(path), *tiny.options])
    return path

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Method taylor: what the loss does not need goes, however large it is."""

import pytest
import torch

from espnet_prune import UserError, cost
from espnet_prune.bin import select
from espnet_prune.models import load_model
from espnet_prune.structure import Structure
from espnet_prune.utils import write_yaml
from test.espnet_prune.deep import IDLE, make_exp, make_idle_model


@pytest.fixture
def options(tmp_path):
    make_exp(tmp_path, make_idle_model())
    conf = {"method": "taylor", "budget": {"kind": "params", "sparsity": 0.2}}
    write_yaml({**conf, "max_utts": 4}, tmp_path / "taylor.yaml")
    return ["--config", str(tmp_path / "taylor.yaml")] + [
        *("--model_config", str(tmp_path / "config.yaml")),
        *("--model_file", str(tmp_path / "model.pth")),
        *("--output_dir", str(tmp_path / "out")),
    ]


def test_what_the_loss_does_not_need_goes_first(options, tmp_path):
    select.main(options)
    masks = torch.load(tmp_path / "out/masks.pth", weights_only=True)
    assert not masks[IDLE][:12].any() and masks[IDLE][12:].any()
    dense = load_model(tmp_path / "config.yaml", tmp_path / "model.pth")[0].encoder
    kept = Structure.load(tmp_path / "out/structure.json")
    assert 0.79 < cost(kept).params / cost(dense).params <= 0.8
    write_yaml(
        {"method": "magnitude", "budget": {"sparsity": 0.2}}, tmp_path / "m.yaml"
    )
    norms = str(tmp_path / "norms")
    select.main(["--config", str(tmp_path / "m.yaml"), *options[2:-1], norms])
    masks = torch.load(tmp_path / "norms/masks.pth", weights_only=True)
    assert masks[IDLE][:12].all()  # which the norms do not see


def test_data_without_labels_are_refused(options, tmp_path):
    given = f"{tmp_path}/data/train_wav.scp,speech,sound"
    with pytest.raises(UserError, match="taylor needs labelled speech"):
        select.main([*options, "--eval_data_path_and_name_and_type", given])

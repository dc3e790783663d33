# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest
import torch

from espnet_prune.utils import UserError, write_yaml
from test.espnet_prune import deep


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    pytest.importorskip("espnet2")
    path = tmp_path_factory.mktemp("conf") / "train.yaml"
    keys = ("frontend", "frontend_conf", "normalize", "encoder", "encoder_conf")
    conf = {key: deep.CONFIG[key] for key in (*keys, "model_conf")}
    write_yaml({**conf, "max_epoch": 3}, path)
    return path


def test_an_untrained_model_is_an_experiment(config, tmp_path, capsys):
    from espnet_prune.bin.init_model import main
    from espnet_prune.models import load_model

    for seed in ("0", "0", "1"):
        folder = tmp_path / f"exp{len(list(tmp_path.iterdir()))}"
        command = ["--config", str(config), "--output_dir", str(folder)]
        main([*command, "--seed", seed])
    models = [
        load_model(p / "config.yaml", p / "model.pth") for p in _folders(tmp_path)
    ]
    a, b, c = (model.state_dict() for model, _ in models)
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)
    assert models[0][1]["token_list"] == ["<blank>", "<unk>", "<sos/eos>"]
    assert "parameters" in capsys.readouterr().out
    with pytest.raises(UserError, match="holds a model already"):
        main([*command, "--seed", "0"])
    with pytest.raises(UserError, match="output_dir is missing"):
        main(["--config", str(config)])


def _folders(path):
    return sorted(path.iterdir())


def test_weights_and_tokens_can_be_given(config, tmp_path):
    from espnet_prune.bin.init_model import main
    from espnet_prune.models import load_model

    tokens = tmp_path / "tokens.txt"
    tokens.write_text("\n".join(deep.TOKENS) + "\n")
    first, second = tmp_path / "a", tmp_path / "b"
    main(["--config", str(config), "--output_dir", str(first)])
    command = ["--config", str(config), "--output_dir", str(second), "--seed", "5"]
    part = f"{first}/model.pth:encoder:encoder"
    main([*command, "--token_list", str(tokens), "--init_param", part])
    a, b = (load_model(p / "config.yaml", p / "model.pth")[0] for p in (first, second))
    for key, value in a.encoder.state_dict().items():
        assert torch.equal(value, b.encoder.state_dict()[key])
    assert len(b.token_list) == len(deep.TOKENS) != len(a.token_list)

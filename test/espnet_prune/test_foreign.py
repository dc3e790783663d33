# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Bad input is told, and a bug of ours still shows its traceback."""

import json

import pytest
import torch

from espnet_prune import models, utils
from espnet_prune.foreign import told
from espnet_prune.utils import UserError, run_main, write_yaml
from test.espnet_prune import deep


def test_what_others_raise_is_a_sentence():
    with pytest.raises(UserError, match="x.json: JSONDecodeError: .*; write it again"):
        with told("x.json", "write it again"):
            json.loads("{")
    with pytest.raises(ValueError) as caught:
        with told("x", "y"):
            raise ValueError("by this test, which is of another folder")
    assert isinstance(caught.value, UserError)
    with pytest.raises(FileNotFoundError):
        with told("x", "y"):
            open("/nowhere/at/all")


@pytest.mark.parametrize("kind", [IndexError, KeyError])
def test_a_bug_of_ours_shows_its_traceback(kind, tmp_path, monkeypatch):
    """The error is raised by a line of ours, below calls that are guarded."""
    from espnet_prune.bin import check_model

    pytest.importorskip("espnet2")
    words = deep.write_model(tmp_path, deep.CONFIG)
    run_main(lambda: check_model.main(words))
    code = compile(
        f"def faulty(*args, **kwargs):\n    raise {kind.__name__}('a bug')\n",
        utils.__file__,
        "exec",
    )
    scope = {}
    exec(code, scope)
    from espnet_prune.encoders.pruned_transformer import PrunedTransformerEncoder

    config = {**deep.CONFIG, "encoder": "pruned_transformer"}
    write_yaml(config, tmp_path / "config.yaml")
    monkeypatch.setattr(PrunedTransformerEncoder, "__init__", scope["faulty"])
    with pytest.raises(kind, match="a bug"):
        run_main(lambda: check_model.main(words))


def test_a_model_that_cannot_be_built_names_file_and_key(tmp_path):
    pytest.importorskip("espnet2")
    config = {**deep.CONFIG, "encoder_conf": {"output_sizes": 16}}
    write_yaml(config, tmp_path / "config.yaml")
    torch.save({"a": torch.ones(1)}, tmp_path / "model.pth")
    with pytest.raises(UserError, match=r"config.yaml.*output_sizes.*\(encoder_conf"):
        models.load_model(tmp_path / "config.yaml", tmp_path / "model.pth")

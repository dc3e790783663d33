# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import os

import pytest
import torch

from espnet_prune import utils
from espnet_prune.utils import UserError


def test_atomic_write_keeps_the_old_file_on_failure(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        with utils.atomic_write(path) as stream:
            stream.write("half")
            raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_load_tensors_runs_no_code(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save({"a": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        utils.load_tensors(tmp_path / "bomb.pth")
    assert not (tmp_path / "exploded").exists()


def test_truncated_checkpoint(tmp_path):
    path = tmp_path / "a.pth"
    utils.atomic_torch_save({"a": torch.zeros(1000)}, path)
    assert set(utils.load_tensors(path)) == {"a"}
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="a.pth"):
        utils.load_tensors(path)
    with pytest.raises(UserError, match="no such checkpoint"):
        utils.load_tensors(tmp_path / "b.pth")


def test_unknown_key_names_the_nearest():
    with pytest.raises(UserError, match="'sparsty'.*did you mean 'sparsity'"):
        utils.check_keys(["sparsty"], ["kind", "sparsity"], "budget")


def test_user_error_is_exit_code_2(capsys):
    def main():
        raise UserError("x.yaml: unknown key 'y'")

    with pytest.raises(SystemExit) as error:
        utils.run_main(main)
    assert error.value.code == 2
    assert capsys.readouterr().err == ("espnet_prune: error: x.yaml: unknown key 'y'\n")

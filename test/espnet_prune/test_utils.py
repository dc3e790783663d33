# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import errno
import os
import tempfile

import pytest
import torch
import yaml

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


@pytest.mark.parametrize("other", [False, True])
def test_a_directory_is_there_as_a_whole_or_not_at_all(tmp_path, other):
    path = tmp_path / "deep" / "out"
    with pytest.raises(RuntimeError), utils.whole_directory(path) as part:
        (part / "a").write_text("half")
        raise RuntimeError
    assert not os.listdir(path.parent)
    with utils.whole_directory(path) as part:
        (part / "a").write_text("this")
        assert not path.exists()
        if other:  # another run is first
            path.mkdir()
            (path / "a").write_text("other")
    assert (path / "a").read_text() == ("other" if other else "this")
    assert os.listdir(path.parent) == ["out"]


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


def test_numbers_are_numbers_and_tokens_are_text(tmp_path):
    """PyYAML takes 1e-3 for text; ESPnet writes the token 1e5 without quotes."""
    path = tmp_path / "x.yaml"
    path.write_text(
        "lr: 1e-3\nl0_conf: {betas: [9e-1, .5E+0, 1.0e-3], name: '1e-3'}\n"
        "version: 1e\ntoken_list: [1e5, '2e5', a]\n"
    )
    found = utils.read_yaml(path)
    assert found == {
        "lr": 0.001,
        "l0_conf": {"betas": [0.9, 0.5, 0.001], "name": "1e-3"},
        "version": "1e",
        "token_list": ["1e5", "2e5", "a"],
    }
    utils.write_yaml(found, path)
    assert utils.read_yaml(path) == yaml.safe_load(path.read_text()) == found
    assert utils.as_number({"a": {"lr": "5e-4"}, "b": "1e"}) == {
        "a": {"lr": 0.0005},
        "b": "1e",
    }


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


@pytest.mark.parametrize("save", ["json", "tensors"])
def test_a_full_disk_is_told_and_leaves_the_old_file(
    tmp_path, monkeypatch, capsys, save
):
    path = tmp_path / "a"
    path.write_text("old")

    class Full:
        """A file on a full disk."""

        def __init__(self, stream):
            self.stream = stream

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.stream.close()

        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fdopen = os.fdopen
    monkeypatch.setattr(
        os, "fdopen", lambda *args, **kwargs: Full(fdopen(*args, **kwargs))
    )

    def main():
        if save == "json":
            utils.write_json([1, 2], path)
        else:
            utils.atomic_torch_save({"x": torch.zeros(9)}, path)

    with pytest.raises(SystemExit, match="2"):
        utils.run_main(main)
    told = capsys.readouterr().err
    assert told.startswith(
        f"espnet_prune: error: {path}: No space left on device; make"
    )
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_a_directory_that_cannot_be_written_is_told(tmp_path, monkeypatch, capsys):
    def mkstemp(dir, **names):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), f"{dir}/b.json")

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    with pytest.raises(SystemExit, match="2"):
        utils.run_main(lambda: utils.write_json({}, tmp_path / "b.json"))
    told = capsys.readouterr().err
    assert f"{tmp_path}/b.json: Read-only file system; give another" in told
    # other errors of the system are not the user's
    monkeypatch.setattr(tempfile, "mkstemp", lambda **names: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        utils.run_main(lambda: utils.write_json({}, tmp_path / "b.json"))

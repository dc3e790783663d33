# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest
import torch

from espnet_prune.train.checkpoint import (
    atomic_saves,
    check_same_structure,
    load_checkpoint,
    remove_leftovers,
)
from espnet_prune.utils import UserError


class Bomb:
    """An object that fails while it is being pickled."""

    def __reduce__(self):
        raise RuntimeError("bang")


def checkpoint(**changes):
    model = torch.nn.Linear(2, 2).state_dict()
    return {"model": model, "reporter": {}, "optimizers": [], **changes}


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.pth"
    original = torch.save
    with atomic_saves(torch.nn.Linear(1, 1), dict):
        torch.save({"a": torch.ones(3)}, path)
        before = path.read_bytes()
        with pytest.raises(RuntimeError, match="bang"):
            torch.save({"a": torch.zeros(100000), "b": Bomb()}, path)
    assert torch.save is original
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.pth"]


def test_hook_states_enter_the_checkpoint_only(tmp_path):
    states = {"hook": {"x": torch.ones(1)}}
    with atomic_saves(torch.nn.Linear(1, 1), lambda: states):
        torch.save(checkpoint(), tmp_path / "checkpoint.pth")
        torch.save({"w": torch.ones(1)}, str(tmp_path / "1epoch.pth"))
    assert load_checkpoint(tmp_path / "checkpoint.pth")["hooks"]["hook"]["x"] == 1
    assert list(torch.load(tmp_path / "1epoch.pth", weights_only=True)) == ["w"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_corrupt_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / "checkpoint.pth"
    torch.save(checkpoint(), path)
    data = path.read_bytes()
    broken = {"truncated": data[: len(data) // 2], "empty": b"", "text": b"hello"}
    path.write_bytes(broken[damage])
    for mmap in (False, True):
        with pytest.raises(UserError, match="checkpoint.pth: corrupt checkpoint"):
            load_checkpoint(path, mmap)


def test_another_structure_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pth"
    check_same_structure(path, torch.nn.Linear(2, 2))  # nothing there yet
    torch.save(checkpoint(), path)
    check_same_structure(path, torch.nn.Linear(2, 2))
    for other in (torch.nn.Linear(2, 3), torch.nn.Linear(2, 2, bias=False)):
        with pytest.raises(UserError, match="another structure"):
            check_same_structure(path, other)


def test_leftovers_are_removed(tmp_path):
    (tmp_path / ".model.pth.abc.tmp").write_text("half")
    (tmp_path / "model.pth").write_text("whole")
    remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.pth"]

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every change to ESPnet or torch stands in one file."""

import ast
import inspect
from pathlib import Path

import pytest
import torch

import espnet_prune
from espnet_prune import patches

ROOM = Path(espnet_prune.__file__).parent
FOREIGN = ("torch", "espnet", "espnet2")


def root(node):
    """Return the name that a chain of attributes and subscripts begins with."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def changes(source):
    """Yield what is assigned to an attribute of something imported from elsewhere."""
    tree, names = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = getattr(node, "module", None) or ""
            for alias in node.names:
                if (module or alias.name).split(".")[0] in FOREIGN:
                    names.add((alias.asname or alias.name).split(".")[0])
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            targets = getattr(node, "targets", None) or [node.target]
            for target in targets:
                if not isinstance(target, ast.Name) and root(target) in names:
                    yield ast.unparse(target)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr":
            if root(node.args[0]) in names:
                yield ast.unparse(node)


def test_nothing_is_changed_elsewhere():
    found = {
        (str(path.relative_to(ROOM)), change)
        for path in ROOM.rglob("*.py")
        for change in changes(path.read_text())
    }
    # additions, which ADDED lists
    assert found == {
        ("data/audio.py", "iterable_dataset.DATA_TYPES[name]"),
    }
    for name, _ in found:
        assert any(name in entry for entry in patches.ADDED)


def test_a_change_that_is_found():
    source = "import torch\nfrom espnet2.train import trainer as t\n"
    source += "torch.save = 1\nt.average = 2\nx.y = 3\nsetattr(t, 'a', 1)\n"
    assert list(changes(source)) == ["torch.save", "t.average", "setattr(t, 'a', 1)"]


def test_what_is_not_listed_is_refused():
    stock = torch.load
    with pytest.raises(LookupError, match="torch.load is not listed"):
        patches.replace(torch, "load", None)
    with pytest.raises(LookupError):
        with patches.replaced(torch, "load", None):
            pass
    assert torch.load is stock


def test_what_is_replaced_for_a_while_comes_back():
    stock = torch.save
    with pytest.raises(ValueError):
        with patches.replaced(torch, "save", None) as before:
            assert torch.save is None and before is stock
            raise ValueError
    assert torch.save is stock


def test_a_class_method_stays_one(monkeypatch):
    class Task:
        @classmethod
        def build(cls):
            return cls

    path = f"{Task.__module__}.{Task.__qualname__}.build"
    monkeypatch.setitem(patches.TABLE, path, "for this test")
    with patches.replaced(Task, "build", classmethod(lambda cls: None)):
        assert Task.build() is None
    assert inspect.ismethod(Task.build) and Task.build() is Task

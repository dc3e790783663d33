# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Imports go downward only: the floors of docs/architecture.md hold.

What is imported inside of functions counts, too: it is a dependency all the same.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "espnet_prune"
# (importing room, imported room): may only shrink
EXEMPT = {
    ("structure", "families"),  # Structure.dense and .random take a model
    ("structure", "structure_before"),  # Structure.load reads old files
}


def floors():
    """Return {room: number of its floor, 0 at the bottom} of the page's table."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", text, re.M)
    return {room: int(n) for n, cell in rows for room in re.findall(r"`(.+?)`", cell)}


FLOORS = floors()


def modules():
    """Return {dotted name below the package: file}; the package itself is "api"."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(p for p in parts if p != "__init__") or "api"] = path
    return found


MODULES = modules()


def room(module):
    """Return the room that a module is in; one may be inside of another."""
    parts = module.split(".")
    names = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((name for name in names if name in FLOORS), parts[0])


def imported(module, at_import_only=False):
    """Return the modules of the package that one imports."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inner.update(ast.walk(node))
    names = []
    for node in ast.walk(tree):
        if at_import_only and node in inner:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module.startswith("espnet_prune"):
                relative = room(module) == "runtime"  # which is copied elsewhere
                assert node.level == relative, f"{module}: imports {node.module}"
            named = [alias.name for alias in node.names if alias.name != "__version__"]
            start = ".".join(
                ["espnet_prune.runtime"] * node.level + [node.module or ""]
            )
            names += [f"{start}.{name}" for name in named]
    found = set()
    for name in names:
        first, *parts = name.split(".")
        if first != "espnet_prune":
            continue
        while parts and ".".join(parts) not in MODULES:
            parts.pop()
        found.add(".".join(parts) or "api")
    return found - {module}


def test_every_room_has_a_floor():
    assert {room(module) for module in MODULES} == set(FLOORS)


@pytest.mark.parametrize("name", sorted(FLOORS, key=FLOORS.get))
def test_imports_go_downward(name):
    upward = {}
    for module in MODULES:
        for other in imported(module) if room(module) == name else ():
            pair = (name, room(other))
            if pair[0] != pair[1] and FLOORS[pair[1]] >= FLOORS[name]:
                upward.setdefault(pair, set()).add(f"{module} -> {other}")
    assert set(upward) == {pair for pair in EXEMPT if pair[0] == name}, upward


def test_nothing_imports_a_command():
    for module in MODULES:
        if room(module) not in ("bin", "__main__"):
            assert "bin" not in {room(other) for other in imported(module)}, module


def test_no_module_imports_itself_in_a_circle():
    """Also within a room; what a function imports when called is no circle."""
    graph = {module: imported(module, at_import_only=True) for module in MODULES}
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for other in sorted(graph[module]):
            visit(other)
        done.add(path.pop())

    for module in MODULES:
        visit(module)

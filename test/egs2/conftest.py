# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest

from test import espnet_tree
from test.egs2.stand_in import make_stand_in


@pytest.fixture
def recipe(tmp_path):
    """A recipe directory of its own whose Python is a stand-in."""
    return make_stand_in(tmp_path)


@pytest.fixture
def real_checkout(tmp_path, monkeypatch):
    """ESPNET_ROOT, or a copy with its links; skip where something is missing."""
    reason = espnet_tree.lacking()
    if reason:
        pytest.skip(reason)
    if not espnet_tree.is_whole():
        root = espnet_tree.copy_tree(tmp_path / "checkout")
        monkeypatch.setenv("ESPNET_ROOT", str(root))

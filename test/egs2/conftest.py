# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import os
import shutil

import pytest

from test.egs2.stand_in import make_stand_in


@pytest.fixture
def recipe(tmp_path):
    """A recipe directory of its own whose Python is a stand-in."""
    return make_stand_in(tmp_path)


@pytest.fixture
def real_checkout():
    """Skip where ESPNET_ROOT, or what ESPnet's own scripts call, is missing."""
    if not os.environ.get("ESPNET_ROOT"):
        pytest.skip("ESPNET_ROOT names no checkout of ESPnet")
    for program in ("flac", "sox", "perl"):
        if shutil.which(program) is None:
            pytest.skip(f"ESPnet's scripts need {program}, which is not installed")

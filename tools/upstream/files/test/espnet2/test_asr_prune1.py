# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)
"""The recipes that prune: their scripts, and what their configurations say."""

import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "egs2/TEMPLATE/asr_prune1"
RECIPES = sorted(ROOT.glob("egs2/*/asr_prune1/run.sh"))


def run(folder, *command):
    """Run a script; returns the finished process."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("script", RECIPES, ids=lambda path: path.parts[-3])
def test_help_lists_the_options(script):
    done = run(script.parent, "./run.sh", "--help")
    assert done.returncode == 0
    assert "--prune_config" in done.stdout


def test_an_unknown_option_is_told():
    done = run(RECIPES[0].parent, "./run.sh", "--prune_confg", "x")
    assert done.returncode == 2
    assert "unknown option '--prune_confg'" in done.stderr


def test_setup_links_a_recipe(tmp_path):
    done = run(ROOT, TEMPLATE / "setup.sh", tmp_path / "asr_prune1")
    assert done.returncode == 0
    made = tmp_path / "asr_prune1"
    assert (made / "prune.sh").samefile(TEMPLATE / "prune.sh")


@pytest.mark.parametrize("script", RECIPES, ids=lambda path: path.parts[-3])
def test_configurations(script):
    for path in sorted(script.parent.glob("conf/**/prune*.yaml")):
        conf = yaml.safe_load(path.read_text())
        assert conf["method"] in ("l0", "layers", "magnitude", "obs", "taylor")
        assert 0 < conf["budget"]["sparsity"] < 1
    for name in ("train", "decode", "recover"):
        assert yaml.safe_load((script.parent / f"conf/{name}.yaml").read_text())


def test_a_cut_encoder_is_as_small_as_it_is_said_to_be():
    espnet_prune = pytest.importorskip("espnet_prune")
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    encoder = ConformerEncoder(20, 8, 2, 16, 2, rel_pos_type="latest")
    structure = espnet_prune.Structure.random(encoder, seed=0, keep=0.5)
    small = espnet_prune.cut(encoder, structure)
    assert espnet_prune.cost(small) == espnet_prune.cost(structure)
    assert espnet_prune.cost(small).params < espnet_prune.cost(encoder).params

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The models of ESPnet's recipes are pruned or refused as the page says.

The suite draws some by seed; ESPNET_PRUNE_LONG=1 takes all that are built.
"""

import os
import random
from pathlib import Path

import pytest
import yaml

from espnet_prune import UserError
from espnet_prune.families.conformer import Conformer
from espnet_prune.report.decoding import releases
from espnet_prune.utils import read_json
from test.espnet_prune.recipes import cycle
from test.espnet_prune.recipes.found import distinct
from test.espnet_prune.recipes.page import page

ROOT = Path(__file__).resolve().parents[3]
RECORD = read_json(ROOT / "test" / "results" / "recipes.json")
FOUND = RECORD["configurations"]
LONG = os.environ.get("ESPNET_PRUNE_LONG") == "1"
SEED, DRAWN = 0, {cycle.PRUNED: 3, cycle.REFUSED: 2}


def drawn():
    """Return what is tried: some of every verdict, or all."""
    found = []
    for verdict, count in DRAWN.items():
        some = [entry for entry in FOUND if entry["verdict"] == verdict]
        found += some if LONG else random.Random(SEED).sample(some, count)
    return found


@pytest.mark.parametrize("entry", drawn(), ids=lambda entry: entry["example"])
def test_it_comes_out_as_the_page_says(entry):
    found = cycle.result(entry)
    if found["verdict"] == cycle.NOT_BUILT and releases()["espnet"] != RECORD["espnet"]:
        pytest.skip(f"ESPnet {RECORD['espnet']} is needed: {found['why']}")
    assert found == {key: entry[key] for key in found}


def test_the_page_is_what_was_found():
    written = (ROOT / "docs" / "espnet_recipes.md").read_text(encoding="utf-8")
    assert written == page(RECORD)
    assert not [entry for entry in FOUND if entry["verdict"] == cycle.FAULT]


def test_a_wrong_price_is_a_fault(monkeypatch):
    """A weight that is said to run more often than it does is found out."""
    entry = next(e for e in FOUND if e["config"].get("encoder") == "conformer")
    parts = Conformer.parts

    def wrong(self, module):
        found = parts(self, module)
        found.uses["encoders.0.feed_forward.w_1"] = "conv0"
        return found

    monkeypatch.setattr(Conformer, "parts", wrong)
    cycle.cycle.cache_clear()
    found = cycle.result(entry)
    assert found["verdict"] == cycle.FAULT and "MACs and not" in found["why"]


def test_configurations_that_differ_in_training_alone_are_one(tmp_path):
    conf = {"encoder": "conformer", "encoder_conf": {"num_blocks": 3}, "optim": "adam"}
    more = {"num_blocks": 3, "dropout_rate": 0.2}
    others = [dict(conf, optim="sgd"), dict(conf, encoder_conf=more)]
    files = {"an4/asr1/conf/train_a": conf, "an4/asr1/conf/tuning/train_b": others[0]}
    files["x/asr1/conf/train_c"] = others[1]
    files["x/slu1/conf/train_d"] = conf
    files["x/tts1/conf/train_e"] = conf
    files["x/asr1/conf/train_lm"] = {"lm": "transformer"}
    for name, content in files.items():
        path = tmp_path / "egs2" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    found = [(entry["task"], entry["files"]) for entry in distinct(tmp_path)]
    assert found == [("asr", 3), ("slu", 1)]
    with pytest.raises(UserError, match="give a checkout of ESPnet"):
        distinct(tmp_path / "egs2")

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import argparse

import pytest

from espnet_prune import Structure, cost
from espnet_prune.measure.tokens import DEFAULT, priced, token_rate
from espnet_prune.select.conf import add_options, read_conf
from espnet_prune.select.plan import Plan
from espnet_prune.utils import write_yaml
from test.espnet_prune.deep import HYBRID, make_model

SECOND = 16000


def write(path, **lines):
    text = "".join(f"{utt} {value}\n" for utt, value in lines.items())
    path.write_text(text)
    return str(path)


@pytest.fixture
def shapes(tmp_path):
    """Three tokens a second; an utterance without a length does not count."""
    return [
        write(tmp_path / "speech_shape", a=SECOND, b=3 * SECOND),
        write(tmp_path / "text_shape.char", a="5,7", b="7,7", c="90,7"),
    ]


def test_shape_files_say_it(shapes):
    rate = token_rate({**HYBRID, "train_shape_file": shapes})
    assert rate.tokens == 3.0 and rate.source == f"measured from {shapes[1]}"


def test_features_are_frames(tmp_path, shapes):
    shapes[0] = write(tmp_path / "speech_shape", a="100,80", b="300,80")
    config = {"frontend": None, "input_size": 80, "train_shape_file": shapes}
    assert token_rate(config).tokens == 3.0


def test_texts_and_lengths_say_it(tmp_path):
    """Tokens are those of the model: letters here, and the space between words."""
    text = write(tmp_path / "text", a="AB CD", b="A")
    write(tmp_path / "utt2num_samples", a=2 * SECOND, b=SECOND)
    data = [[text, "text", "text"]]
    config = {**HYBRID, "train_data_path_and_name_and_type": data}
    assert token_rate(config) == (2.0, f"measured from {text}")


def test_otherwise_it_is_assumed(tmp_path, shapes):
    missing = [str(tmp_path / "none" / name) for name in ("speech_shape", "text_shape")]
    damaged = [shapes[0], write(tmp_path / "text_shape", a="many")]
    for given in ([], missing, damaged):
        rate = token_rate({**HYBRID, "train_shape_file": given})
        assert rate.tokens == DEFAULT and "assumed" in rate.source


def test_a_decoder_costs_what_the_text_says(shapes):
    """Frames are 8 ms here: the tokens are those of the seconds."""
    conf = {**HYBRID["frontend_conf"], "hop_length": 128}
    config = {**HYBRID, "frontend_conf": conf, "train_shape_file": shapes}
    structure = Structure.dense(make_model(config))
    found = priced(structure, config)
    assert found["decoder"].price.clock.times(1250)["token"] == 30
    macs = [cost(s, 1250, "decoder").macs for s in (found, structure)]
    assert 0 < macs[0] < macs[1]  # of 62 tokens
    assert cost(found, 1250, "encoder") == cost(structure, 1250, "encoder")
    three = priced(structure, config, beam=3)
    assert three["decoder"].price.clock.times(1250)["token"] == 90


def test_a_plan_is_priced_so(tmp_path, shapes):
    config = {**HYBRID, "train_shape_file": shapes}
    budget = {"kind": "macs", "of": "decoder", "sparsity": 0.2}
    write_yaml({"method": "magnitude", "budget": budget}, tmp_path / "select.yaml")
    parser = argparse.ArgumentParser()
    add_options(parser)
    options = parser.parse_args(["--config", str(tmp_path / "select.yaml")])
    plan = Plan.of(read_conf(options), make_model(config), config, options)
    assert plan.graph.dense["decoder"].price.clock.times(1000)["token"] == 30

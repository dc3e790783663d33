# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import json

import pytest

from espnet_prune import Structure, UserError, unit_graph
from espnet_prune.cutting.stock import stack_config
from test.espnet_prune.encoder_zoo import LATEST, VARIANTS, build


@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip(variant, tmp_path):
    structure = Structure.random(build(variant), 1)
    assert Structure.from_dict(json.loads(json.dumps(structure.to_dict()))) == structure
    structure.save(tmp_path / "structure.json", method="test")
    assert Structure.load(tmp_path / "structure.json") == structure


def test_random_is_reproducible_and_varied():
    encoder = build("latest")
    assert Structure.random(encoder, 4) == Structure.random(encoder, 4)
    draws = [Structure.random(encoder, seed)["encoder"] for seed in range(40)]
    assert any(0 in draw.blocks["attention_heads"] for draw in draws)
    assert any(0 in draw.blocks["linear_units"] for draw in draws)
    assert all(min(draw.front["subsampling_channels"]) >= 1 for draw in draws)
    units = [n for draw in draws for n in draw.blocks["linear_units"] if n]
    assert 0.4 < sum(units) / len(units) / 24 < 0.6


def test_diff_and_summary():
    dense = Structure.dense(build("latest"))
    other = dense.with_widths({"attention_heads": [4, 1]})
    assert dense.diff(other) == {"attention_heads": ([4, 4], [4, 1])}
    assert len(other.summary().splitlines()) == 4


@pytest.mark.parametrize(
    "widths,words",
    [
        ({"linear_unit": [1, 1]}, "did you mean 'linear_units'"),
        ({"linear_units": [1]}, "1 entries"),
        ({"linear_units": [1, 99]}, "0 to 24"),
        ({"linear_units": [1, 2.5]}, "integers"),
        ({"linear_units": [1, -1]}, "0 to 24"),
        ({"subsampling_channels": [0, 4]}, "1 to 16"),
        ({"kept_blocks": [0, 7]}, "does not fit"),
    ],
)
def test_bad_widths(widths, words):
    with pytest.raises(UserError, match=words):
        Structure.dense(build("latest")).with_widths(widths)


def test_bad_files(tmp_path):
    path = tmp_path / "structure.json"
    with pytest.raises(UserError, match="no such file"):
        Structure.load(path)
    path.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        Structure.load(path)
    path.write_text("{}")
    with pytest.raises(UserError, match="'structure' is missing"):
        Structure.load(path)
    path.write_text('{"structure": {"dims": {}}}')
    with pytest.raises(UserError, match="'kept_blocks' is missing"):
        Structure.load(path)


def test_masks_and_structure_agree():
    encoder = build("latest")
    graph = unit_graph(encoder)
    structure = Structure.random(encoder, 2)
    assert graph.structure(graph.first(structure)) == structure
    with pytest.raises(UserError, match="subsampling_channels"):
        graph.structure(
            {
                "embed.conv.0.channels": 0
                * graph.first(structure)["embed.conv.0.channels"]
            }
        )


def test_stock_shapes_are_written_as_stock():
    encoder = build("latest")
    dense = Structure.dense(encoder)
    kept = dense.with_widths({"kept_blocks": [1]})
    kept = kept.with_widths({"linear_units": [9], "macaron_linear_units": [9]})
    name, conf = stack_config("conformer", LATEST, dense, kept)
    assert name == "conformer"
    assert (conf["num_blocks"], conf["linear_units"]) == (1, 9)
    kept = dense.with_widths({"linear_units": [9, 8]})
    name, conf = stack_config("conformer", LATEST, dense, kept)
    assert name == "pruned_conformer"
    assert conf["structure"] == kept.widths()

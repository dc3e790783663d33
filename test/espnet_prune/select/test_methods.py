# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest
import torch

from espnet_prune import UserError, unit_graph
from espnet_prune.select import methods as registry
from espnet_prune.select.conf import read_conf
from espnet_prune.select.methods import get_method, methods, register_method
from espnet_prune.select.selection import Selection
from espnet_prune.utils import write_json, write_yaml
from test.espnet_prune.encoder_zoo import LATEST, randomise, stock_class


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    conf = dict(LATEST, output_size=16, linear_units=24, num_blocks=3)
    return randomise(stock_class("conformer")(80, **conf))


def read(tmp_path, conf, *more):
    from espnet_prune.bin.select import get_parser

    write_yaml(conf, tmp_path / "s.yaml")
    words = ["--config", str(tmp_path / "s.yaml"), *more]
    return read_conf(get_parser().parse_args(words))


def test_a_folder_is_all_that_a_method_needs(tmp_path, monkeypatch, capsys):
    """It is found, listed, its keys are read with their types, and it selects."""
    import espnet_prune.select as room
    from espnet_prune.bin import select

    methods()  # those of this package, which stay known
    folder = tmp_path / "room" / "evens"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "from espnet_prune.select.methods import register_method\n"
        "register_method('evens', {'step': int}, lambda plan: plan, help='every 2nd')\n"
    )
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(folder.parent)])
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    registry._look.cache_clear()
    try:
        assert read(tmp_path, {"method": "evens", "step": 2})["step"] == 2
        for conf, text in (
            ({"method": "evens", "step": "2"}, "step .* whole number"),
            ({"method": "evens", "stop": 2}, r"'stop' \(did you mean 'step'"),
            ({"method": "event"}, r"method: .*'event' \(did you mean 'evens'"),
        ):
            with pytest.raises(UserError, match=text):
                read(tmp_path, conf)
        with pytest.raises(SystemExit):
            select.main(["--help"])
        assert "every 2nd" in capsys.readouterr().out
    finally:
        registry._look.cache_clear()


def test_a_name_is_registered_once():
    run = get_method("magnitude").run
    register_method("magnitude", {}, run)  # a module that is read again
    with pytest.raises(ValueError, match="has registered a method magnitude"):
        register_method("magnitude", {}, lambda plan: plan)
    assert get_method("magnitude").run is run


def test_what_a_method_does_not_read_is_refused(tmp_path):
    assert {"l0", "layers", "magnitude"} <= {method.name for method in methods()}
    with pytest.raises(UserError, match="unknown key 'num_remove'"):
        read(tmp_path, {"method": "magnitude", "num_remove": 2})
    with pytest.raises(UserError, match="--coarse_only goes with method layers"):
        conf = read(tmp_path, {"method": "l0"})
        get_method("layers").alone(None, conf)


def test_the_structure_of_a_selection_is_what_its_masks_keep(encoder, tmp_path):
    graph = unit_graph(encoder)
    masks = {"encoders.0.feed_forward.units": torch.zeros(24)}
    masks["encoders.2.self_attn.heads"] = torch.tensor([0.0, 0.7, 1.0, 0.0])
    selection = Selection(graph, masks, {"encoder": [0, 2]}, record={"method": "x"})
    stack = selection.structure["encoder"]
    assert stack.kept_blocks == [0, 2]
    assert stack.blocks["linear_units"] == [0, 24]
    assert stack.blocks["attention_heads"] == [4, 2]
    assert not selection.masks["encoders.0.feed_forward"].any()

    selection.weights = {"a": torch.ones(2)}
    selection.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"structure.json", "masks.pth", "weights.pth"}
    loaded = Selection.load(tmp_path, graph)
    assert loaded.structure == selection.structure
    assert loaded.record == {"method": "x"}
    assert all(
        torch.equal(loaded.masks[name], m) for name, m in selection.masks.items()
    )
    with pytest.raises(UserError, match="holds a model of another structure"):
        Selection(graph, {}).save(tmp_path)


def test_files_of_two_selections_are_told_apart(encoder, tmp_path):
    graph = unit_graph(encoder)
    Selection(graph, {}, {"encoder": [0, 1]}).save(tmp_path / "a")
    one = {"encoders.0.feed_forward.units": torch.zeros(24)}
    Selection(graph, one, {"encoder": [0, 1]}).save(tmp_path / "b")
    (tmp_path / "b" / "masks.pth").replace(tmp_path / "a" / "masks.pth")
    with pytest.raises(UserError, match=r"masks.pth keeps \[0, 24\] of linear_units"):
        Selection.load(tmp_path / "a", graph)
    write_json({"structure": 1}, tmp_path / "b" / "structure.json")
    with pytest.raises(UserError):
        Selection.load(tmp_path / "b", graph)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Method torch_pruning: scores are those of the package, where it is installed."""

import sys

import pytest
import torch

from espnet_prune import UserError, cost
from espnet_prune.bin import select
from espnet_prune.models import load_model
from espnet_prune.select.scores import by_values, selected
from espnet_prune.structure import Structure
from espnet_prune.utils import write_yaml
from test.espnet_prune import encoder_zoo
from test.espnet_prune.deep import IDLE, make_exp, make_idle_model
from test.espnet_prune.select.obs.stubs import plan_of


@pytest.fixture
def options(tmp_path):
    make_exp(tmp_path, make_idle_model())
    conf = {"method": "torch_pruning", "budget": {"sparsity": 0.2}, "max_utts": 4}
    for name in ("magnitude", "taylor", "hessian"):
        write_yaml({**conf, "importance": name}, tmp_path / f"{name}.yaml")
    return [
        *("--model_config", str(tmp_path / "config.yaml")),
        *("--model_file", str(tmp_path / "model.pth")),
        *("--output_dir", str(tmp_path / "out"), "--config"),
    ]


def test_a_missing_package_is_told_before_long_work(options, tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("torch_pruning.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch_pruning", None)  # as if it were not there
    with pytest.raises(UserError, match="which is not installed: pip install torch-pr"):
        select.main([*options, str(tmp_path / "magnitude.yaml")])
    with pytest.raises(UserError, match="unknown .*'hessian'"):
        select.main([*options, str(tmp_path / "hessian.yaml")])


@pytest.mark.parametrize("name", ["magnitude", "taylor"])
def test_within_the_budget(options, tmp_path, name):
    """Magnitude keeps what is large, and Taylor does not."""
    pytest.importorskip("torch_pruning")
    select.main([*options, str(tmp_path / f"{name}.yaml")])
    masks = torch.load(tmp_path / "out/masks.pth", weights_only=True)
    assert masks[IDLE][:12].all() == (name == "magnitude")
    assert masks[IDLE][:12].any() == (name == "magnitude")
    dense = load_model(tmp_path / "config.yaml", tmp_path / "model.pth")[0].encoder
    kept = Structure.load(tmp_path / "out/structure.json")
    assert 0.79 < cost(kept).params / cost(dense).params <= 0.8


def test_units_of_all_kinds_are_ranked_together():
    """Where those of one kind are worth more, the others go, and first the lowest."""
    plan = plan_of(encoder_zoo.build("latest"), {"sparsity": 0.2})
    values = {unit.name: torch.arange(1.0, 1 + unit.size) for unit in plan.graph}
    for unit in plan.graph.of_kinds(("head", "conv_channel", "subsampling_channel")):
        values[unit.name] += 1000
    masks = selected(plan, values, by=by_values).masks
    for unit in plan.graph:
        lost = int((masks[unit.name] == 0).sum())
        assert bool(lost) == (unit.kind == "ffn_unit"), unit.name
        assert not masks[unit.name][:lost].any()


def test_scores_are_those_of_its_own_graph():
    """But for channels behind a GLU, and those of a front end that is flattened."""
    tp = pytest.importorskip("torch_pruning")
    from espnet_prune.select.torch_pruning.scores import group_scores, importance

    encoder = encoder_zoo.build("latest").eval()
    plan = plan_of(encoder, {"sparsity": 0.3})
    found, scorer = group_scores(plan), importance(plan)
    seen = torch.randn(2, 100, encoder_zoo.MEL), torch.tensor([100, 100])
    graph = tp.DependencyGraph().build_dependency(
        encoder, {"x": seen}, forward_fn=lambda root, given: root(*given["x"])[0]
    )
    checked = set()
    for unit in plan.graph:
        if unit.kind not in ("head", "ffn_unit"):
            continue
        layer = encoder.get_submodule(unit.consumers[0].tensor.rpartition(".")[0])
        rows = list(range(layer.in_features))
        group = graph.get_pruning_group(layer, tp.prune_linear_in_channels, rows)
        own = scorer(group).view(unit.size, -1).mean(1)
        assert torch.allclose(found[unit.name], own, rtol=1e-5), unit.name
        checked.add(unit.kind)
    assert len(checked) == 2


def test_every_layer_and_row_of_a_vector_counts():
    """A channel owns two rows of the layer before the GLU, and a gain of the norm."""
    pytest.importorskip("torch_pruning")
    from espnet_prune.select.torch_pruning.scores import group_scores

    encoder = encoder_zoo.build("latest").eval()
    plan, conv = plan_of(encoder, {"sparsity": 0.3}), encoder.encoders[0].conv_module
    size = conv.depthwise_conv.in_channels
    first = conv.pointwise_conv1.weight.detach().square().sum((1, 2))
    own = first[:size] + first[size:] + conv.norm.weight.detach().square()
    own = own + conv.pointwise_conv2.weight.detach().square().sum((0, 2))
    found = group_scores(plan)["encoders.0.conv_module.channels"]
    assert torch.allclose(found, own / own.mean(), rtol=1e-5)

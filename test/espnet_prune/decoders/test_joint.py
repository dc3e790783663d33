# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The width of a joint network: masked = cut = the stock class at another width."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from espnet_prune import Structure, UserError, cost, cut, unit_graph
from espnet_prune.cutting.stock import stack_config
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare
from test.espnet_prune.encoder_zoo import randomise

SIZES = (11, 16, 12)  # tokens, width of encoder and of prediction network
CONF = dict(joint_space_size=20)
VARIANTS = {
    "tanh": CONF,
    "no_bias": dict(CONF, lin_dec_bias=False),
    "softplus": dict(CONF, joint_activation_type="mish"),  # not 0 at 0
}


def build(conf):
    from espnet2.asr_transducer.joint_network import JointNetwork

    torch.manual_seed(0)
    return randomise(JointNetwork(*SIZES, **conf))


@pytest.mark.parametrize("variant", VARIANTS)
def test_masked_equals_cut_equals_stock(variant):
    conf = VARIANTS[variant]
    joint = build(conf)
    graph = unit_graph(joint)
    assert list(graph.units) == ["joint.space"]
    for seed in range(5):
        structure = Structure.random(joint, seed)
        masks = soft_masks(graph, structure, seed)
        small = cut(joint, structure, masks)
        assert compare(joint, graph, masks, small)["equal"]
        (width,) = structure["joint"].front["joint_space"]
        _, own = stack_config("joint_network", conf, graph.dense, structure, "joint")
        assert own == {**conf, "joint_space_size": width}
        stock = build(own)
        stock.load_state_dict(small.state_dict(), strict=True)
        assert compare(small, unit_graph(small), {}, stock)["relative_diff"] == 0
        found = cost(structure, 30)
        assert found.params == sum(p.numel() for p in stock.parameters())
        with FlopCounterMode(display=False) as counter:
            for _ in range(30):  # a frame after the other, as greedy search does
                stock(torch.randn(SIZES[1]), torch.randn(SIZES[2]))
        assert found.macs == counter.get_total_flops() // 2


def test_wrong_rows_are_found_out():
    joint = build(CONF)
    graph = unit_graph(joint)
    structure = Structure.random(joint, 1)
    masks = graph.first(structure)
    small = cut(joint, structure, masks)
    assert compare(joint, graph, masks, small)["equal"]
    with torch.no_grad():
        small.lin_dec.weight.copy_(joint.lin_dec.weight[-len(small.lin_dec.weight) :])
    assert not compare(joint, graph, masks, small)["equal"]


def test_a_unit_must_stay():
    dense = Structure.dense(build(CONF))
    with pytest.raises(UserError, match="joint_space.0. is 0"):
        dense.with_widths({"joint_space": [0]})

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a cut leaves, beside what `test_variants.py` says of every variant."""

import pytest
import torch

from espnet_prune import Structure, UserError, cost, cut, unit_graph
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare, require_equal
from espnet_prune.units import masked
from test.espnet_prune.encoder_zoo import MEL, VARIANTS, build, stock_class


def test_nothing_left_of_a_module():
    """Zero heads, zero units, zero channels: the module goes, its bias too."""
    encoder = build("latest")
    graph = unit_graph(encoder)
    for name in ("self_attn.heads", "feed_forward.units", "conv_module.channels"):
        masks = {f"encoders.0.{name}": torch.zeros(graph[f"encoders.0.{name}"].size)}
        structure = graph.structure(masks)
        small = cut(encoder, structure, masks)
        assert compare(encoder, graph, masks, small, trials=2)["equal"]
        module = name.split(".")[0]
        assert not [
            k for k in small.state_dict() if k.startswith(f"encoders.0.{module}.")
        ]


def test_unequal_encoders_are_found_out():
    encoder = build("latest")
    graph = unit_graph(encoder)
    structure = Structure.random(encoder, 1)
    small = cut(encoder, structure, graph.first(structure))
    with torch.no_grad():
        next(small.parameters()).mul_(1.01)
    report = compare(encoder, graph, graph.first(structure), small, trials=2)
    assert not report["equal"]
    with pytest.raises(UserError, match="differ"):
        require_equal(report)


def test_without_masks_the_units_with_the_largest_norms_stay():
    encoder = build("latest")
    w_1 = encoder.encoders[0].feed_forward.w_1.weight
    with torch.no_grad():
        w_1[[2, 17]] *= 100
    dense = Structure.dense(encoder)
    units = dense.widths()["linear_units"]
    small = cut(encoder, dense.with_widths({"linear_units": [2, *units[1:]]}))
    assert torch.equal(small.encoders[0].feed_forward.w_1.weight, w_1[[2, 17]])


def test_blocks_removed_are_identities():
    encoder = build("latest", seed=2)
    dense = Structure.dense(encoder)
    structure = dense.with_widths({"kept_blocks": [1]})
    small = cut(encoder, structure)
    assert len(small.encoders) == 1
    assert cost(structure).params == sum(p.numel() for p in small.parameters())
    x, lengths = torch.randn(2, 50, MEL), torch.tensor([50, 33])
    got = small(x, lengths)[0]
    encoder.encoders[0].forward = lambda x, mask: (x, mask)
    assert torch.equal(encoder(x, lengths)[0], got)


def test_cut_twice():
    """A pruned encoder can be pruned again, to the same as in one go."""
    encoder = build("latest")
    dense = Structure.dense(encoder)
    first = dense.with_widths({"linear_units": [12, 0], "attention_heads": [2, 4]})
    second = first.with_widths({"linear_units": [6, 0], "attention_heads": [0, 3]})
    twice = cut(cut(encoder, first), second)
    once = cut(encoder, second)
    x, lengths = torch.randn(1, 50, MEL), torch.tensor([50])
    assert torch.allclose(twice(x, lengths)[0], once(x, lengths)[0], atol=1e-6)


def test_cut_leaves_the_encoder_alone():
    encoder = build("latest")
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    encoder.train()
    encoder(torch.randn(1, 50, MEL), torch.tensor([50]))  # attention keeps its weights
    for key in before:  # a forward in train mode moves running statistics
        before[key] = encoder.state_dict()[key].clone()
    cut(encoder, Structure.random(encoder, 0))
    after = encoder.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_structure_of_another_encoder_is_refused():
    encoder = build("latest")
    wide = stock_class("conformer")(MEL, **dict(VARIANTS["latest"][1], linear_units=99))
    with pytest.raises(UserError, match="linear_units"):
        cut(encoder, Structure.dense(wide))
    structure = Structure.random(encoder, 0)
    with pytest.raises(UserError, match="same selection"):
        cut(encoder, structure, unit_graph(encoder).first(Structure.dense(encoder)))


def test_token_input():
    """`input_layer: embed` offers no subsampling units; the blocks can be cut."""
    torch.manual_seed(0)
    conf = dict(VARIANTS["latest"][1], input_layer="embed")
    encoder = stock_class("conformer")(50, **conf).eval()
    graph = unit_graph(encoder)
    assert not graph.of_kinds(("subsampling_channel",))
    structure = Structure.random(encoder, 1)
    masks = soft_masks(graph, structure)
    small = cut(encoder, structure, masks)
    assert compare(encoder, graph, masks, small, trials=2)["equal"]
    assert cost(structure).params == sum(p.numel() for p in small.parameters())


@pytest.mark.parametrize("family", ["conformer", "transformer", "e_branchformer"])
def test_self_conditioning(family):
    """Intermediate CTC fed back into the encoder, as ESPnet's model sets it up."""
    torch.manual_seed(0)
    conf = dict(VARIANTS["latest" if family == "conformer" else family][1])
    conf.update(interctc_layer_idx=[1], interctc_use_conditioning=True)
    encoder = stock_class(family)(MEL, **conf).eval()
    encoder.conditioning_layer = torch.nn.Linear(7, 16)
    ctc = torch.nn.Module()
    ctc.softmax = torch.nn.Sequential(torch.nn.Linear(16, 7), torch.nn.Softmax(-1))
    graph = unit_graph(encoder)
    structure = Structure.random(encoder, 1)
    masks = soft_masks(graph, structure)
    small = cut(encoder, structure, masks)
    assert cost(structure).params == sum(p.numel() for p in small.parameters())
    x, lengths = torch.randn(2, 50, MEL), torch.tensor([50, 33])
    with masked(encoder, graph, masks):
        expected = encoder(x, lengths, ctc=ctc)[0][0]
    assert torch.allclose(small(x, lengths, ctc=ctc)[0][0], expected, atol=1e-5)
    with pytest.raises(UserError, match="self-conditioned"):
        cut(encoder, graph.dense.with_widths({"kept_blocks": [1]}))


def test_intermediate_ctc_moves_with_its_block():
    encoder = build("interctc", num_blocks=3)
    small = cut(encoder, Structure.dense(encoder).with_widths({"kept_blocks": [0, 2]}))
    assert small.interctc_layer_idx == [1]
    assert encoder.interctc_layer_idx == [1]
    gone = cut(encoder, Structure.dense(encoder).with_widths({"kept_blocks": [1, 2]}))
    assert gone.interctc_layer_idx == []

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""All stacks of a model at once: units, prices, cut."""

import json

import pytest
import torch

from espnet_prune import Structure, UserError, cost, cut, unit_graph
from espnet_prune.bin import verify
from espnet_prune.cutting import trials
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare
from test.espnet_prune.decoders.test_search import HYBRID
from test.espnet_prune.deep import make_model, write_model


@pytest.fixture(scope="module")
def model():
    return make_model(HYBRID)


def numel(module):
    return sum(p.numel() for p in module.parameters())


def test_units_of_both_stacks(model):
    graph, alone = unit_graph(model), unit_graph(model.encoder)
    names = list(graph.units)
    assert names[: len(alone)] == list(alone.units)
    others = names[len(alone) :]
    assert others == list(unit_graph(model.decoder).units)
    assert all(name.startswith("decoder.decoders.") for name in others)
    heads = graph["decoder.decoders.1.src_attn.heads"]
    assert (
        heads.stack == "decoder"
        and heads.block == 1
        and heads.field == ("source_attention_heads")
    )
    assert heads.point.module == "decoder.decoders.1.src_attn.linear_out"
    assert graph["decoder.decoders.1.src_attn"].path == "decoder.decoders.1.src_attn"
    state = model.state_dict()
    for unit in graph:
        for part in unit.producers + unit.consumers:
            assert part.tensor in state


def test_prices_sum_to_the_model(model):
    for kept in (model, cut(model, Structure.random(model, 2))):
        structure = Structure.dense(kept)
        assert cost(structure).params == numel(kept)
        assert cost(structure, 1000, "decoder").params == numel(kept.decoder)
        assert cost(structure, 1000, "encoder").params == numel(kept.encoder)
        parts = [cost(structure, 700, p) for p in ("encoder", "decoder", "others")]
        assert cost(structure, 700).macs == sum(part.macs for part in parts)


def test_a_decoder_reads_what_the_encoder_has_written(model):
    """Its memory has the frames after the subsampling, not those of the input."""
    own = cost(Structure.dense(model), 1000, "decoder").macs
    frames = ((1000 - 3) // 2 + 1 - 3) // 2 + 1
    alone = Structure.dense(model.decoder).with_tokens(50 / frames)
    assert own == cost(alone, frames).macs
    twice = Structure.dense(model).with_tokens(0.05, beam=2)
    memory = 3 * 2 * 16 * 16 * frames  # keys and values, which hypotheses share
    assert cost(twice, 1000, "decoder").macs == 2 * own - memory


@pytest.mark.parametrize("seed", range(3))
def test_masked_equals_cut(model, seed):
    graph = unit_graph(model)
    structure = Structure.random(model, seed)
    masks = soft_masks(graph, structure, seed)
    small = cut(model, structure, masks)
    assert compare(model, graph, masks, small, trials=4, seed=seed)["equal"]
    assert Structure.dense(small).widths() == structure.widths()
    assert graph.structure(masks).widths() == structure.widths()
    x = dict(speech=torch.randn(2, 8000), speech_lengths=torch.tensor([8000, 6000]))
    text = dict(text=torch.tensor([[2, 3, 4], [5, 2, -1]]))
    small(**x, **text, text_lengths=torch.tensor([3, 2]))[0].backward()


def test_one_stack_of_several(model):
    dense = Structure.dense(model)
    one = dense.with_widths({"decoder": {"linear_units": [3, 0, 4]}})
    small = cut(model, one)
    assert numel(small.encoder) == numel(model.encoder)
    assert small.decoder.decoders[2].feed_forward.w_1.out_features == 4
    found = Structure.from_dict(one.to_dict())
    assert found == one and cost(found) == cost(one) == cost(small)
    assert "self_attention_heads" in one["decoder"].summary()
    with pytest.raises(UserError, match="source_attention_head"):
        dense.with_widths({"decoder": {"source_attention_head": [1, 1, 1]}})


def test_verify_proves_every_stack(tmp_path, monkeypatch, capsys):
    words = [*write_model(tmp_path, HYBRID), "--structures", "2", "--trials", "1"]
    verify.main(words)
    found = json.loads(capsys.readouterr().out)
    assert found["stacks"] == ["encoder", "decoder"]
    assert found["equal"] and found["params_match"]

    def wrong(*args):
        small = cut(*args)
        small.decoder.output_layer.bias.data[0] += 1.0
        return small

    monkeypatch.setattr(trials, "cut", wrong)
    with pytest.raises(UserError, match="are not the same function"):
        verify.main(words)

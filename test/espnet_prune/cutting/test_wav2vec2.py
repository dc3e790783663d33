# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""wav2vec 2.0, HuBERT, WavLM: masked = cut = rebuilt, and formula = reality."""

import pytest
import torch

from espnet_prune import Structure, UserError, cost, cut, unit_graph
from espnet_prune.cutting.stock import stack_config
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare
from espnet_prune.units import masked
from espnet_prune.units.blocks import BlockRunner, with_blocks
from test.espnet_prune.encoder_zoo import SPEECH, build_speech, pruned_class


def batch():
    generator = torch.Generator().manual_seed(0)
    wave, lengths = torch.randn(2, 9000, generator=generator), [9000, 6100]
    wave[1, 6100:] = 0
    return wave, torch.tensor(lengths)


@torch.no_grad()
def output(encoder, **more):
    return encoder(*batch(), **more)[0]


@pytest.mark.parametrize("variant", ["base", "large"])
def test_few_channels_are_equal_in_double_precision(variant):
    encoder = build_speech(variant).double()
    graph = unit_graph(encoder)
    wave, lengths = batch()
    for counts in ([1, 1, 1], [2, 1, 2], [1, 3, 2]):
        structure = graph.dense.with_widths({"wave_channels": counts})
        masks = {k: m.double() for k, m in soft_masks(graph, structure).items()}
        small = cut(encoder, structure, masks)
        with masked(encoder, graph, masks), torch.no_grad():
            expected = encoder(wave.double(), lengths)[0]
            got = small(wave.double(), lengths)[0]
        assert (expected - got).abs().max() <= 1e-9


def test_reference_figures():
    with torch.device("meta"):
        base = pruned_class("wav2vec2")()
    assert cost(base).params == 94_370_944
    assert cost(base).params == sum(p.numel() for p in base.parameters())
    for seconds, gmacs in ((1, 6.9114), (10, 74.07), (20, 157.4)):
        expected = pytest.approx(gmacs, rel=5e-4 if seconds > 1 else 1e-5)
        assert cost(base, 100 * seconds).macs / 1e9 == expected
    block = Structure.dense(base).with_widths({"kept_blocks": list(range(11))})
    assert cost(base).params - cost(block).params == 7_087_872


def test_lengths_are_those_of_the_convolutions():
    encoder = build_speech("base", num_blocks=1)
    layers = [(layer[1], layer[2]) for layer in SPEECH["base"]["conv_layers"]]
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        lengths = torch.randint(400, 9000, (2,), generator=generator)
        with torch.no_grad():
            out, olens, _ = encoder(torch.randn(2, int(lengths.max())), lengths)
        for length, found in zip(lengths.tolist(), olens.tolist()):
            for kernel, stride in layers:
                length = (length - kernel) // stride + 1
            assert found == length
        assert out.size(1) == olens.max()
    shortest = encoder.embed.shortest()
    assert shortest == 10 + 5 * (8 + 8 * 7 - 1)
    assert encoder(torch.randn(1, shortest), torch.tensor([shortest]))[1] == 1
    with pytest.raises(UserError, match=f"shorter than {shortest} samples"):
        encoder(torch.randn(2, 9000), torch.tensor([9000, shortest - 1]))


@pytest.mark.parametrize("variant", SPEECH)
def test_nothing_of_a_module_is_left(variant):
    """Norms after a module stay, norms before it go; relative positions stay."""
    encoder = build_speech(variant)
    graph = unit_graph(encoder)
    for field in ("attention_heads", "linear_units"):
        structure = graph.dense.with_widths({field: [0, 0, 0]})
        masks = graph.first(structure)
        small = cut(encoder, structure, masks)
        assert compare(encoder, graph, masks, small, trials=2)["equal"]
        norms = [
            key for key in small.state_dict() if "encoders" in key and "norm" in key
        ]
        assert len(norms) == (6 if encoder.normalize_before else 12)
        assert ("embed.positions.table" in small.state_dict()) == ("wavlm" in variant)


def test_scale_of_the_last_convolution():
    encoder = build_speech("base")
    graph = unit_graph(encoder)
    name = "embed.extractor.conv_layers.2.channels"
    masks = {name: torch.linspace(0, 1, 14)}
    small = cut(encoder, graph.structure(masks), masks)
    assert torch.equal(small.embed.scale, torch.linspace(0, 1, 14)[1:])
    assert "embed.scale" not in dict(small.named_parameters())
    masks[name] = (masks[name] > 0).float()
    assert (cut(encoder, graph.structure(masks), masks).embed.scale == 1).all()


def test_heads_of_wavlm_keep_their_names():
    encoder = build_speech("wavlm")
    graph = unit_graph(encoder)
    masks = {"encoders.1.self_attn.heads": torch.tensor([0.0, 1.0, 0.0, 0.5])}
    structure = graph.structure(masks)
    names = structure["encoder"].names["attention_heads"]
    assert names == [[0, 1, 2, 3], [1, 3], [0, 1, 2, 3]]
    small = cut(encoder, structure, masks)
    assert small.encoders[1].self_attn.heads == [1, 3]
    # named heads stay whatever their norm, and a second cut keeps the first names
    assert cut(encoder, structure).encoders[1].self_attn.heads == [1, 3]
    again = unit_graph(small).structure(
        {"encoders.1.self_attn.heads": torch.tensor([0.0, 1.0])}
    )
    assert again["encoder"].names["attention_heads"][1] == [3]
    twice = cut(small, again)
    masks["encoders.1.self_attn.heads"] = torch.tensor([0.0, 0.0, 0.0, 0.5])
    assert torch.allclose(output(twice), output(cut(encoder, again, masks)), atol=1e-6)
    assert Structure.from_dict(again.to_dict()) == again
    for widths, reason in (
        ({"attention_heads": [2, 2, 2]}, "remaining_heads is missing"),
        ({"remaining_heads": [[0], [1], [2]]}, "must list"),
        (dict(attention_heads=[1, 1, 1], remaining_heads=[[9], [0], [0]]), "not among"),
    ):
        with pytest.raises(UserError, match=reason):
            pruned_class("wav2vec2")(structure=widths, **SPEECH["wavlm"])
    with pytest.raises(UserError, match="unknown key 'remaining_heads'"):
        Structure.dense(build_speech("base")).with_widths({"remaining_heads": []})


@pytest.mark.parametrize("variant", SPEECH)
def test_blocks_run_one_by_one(variant):
    encoder = build_speech(variant)
    runner = BlockRunner(encoder)
    with torch.no_grad():
        state = runner.start(lambda: encoder(*batch()))
        for block in range(3):
            state = runner.advance(state, block)
        out, lengths = runner.finish(state)
    assert torch.equal(out, output(encoder))
    assert lengths.tolist() == encoder(*batch())[1].tolist()
    structure = Structure.dense(encoder).with_widths({"kept_blocks": [1, 2]})
    assert torch.equal(
        output(with_blocks(encoder, [1, 2])), output(cut(encoder, structure))
    )


def test_written_as_ours_and_without_a_source():
    dense = Structure.dense(build_speech("base"))
    conf = dict(SPEECH["base"], weights="somewhere")
    kept = dense.with_widths({"kept_blocks": [0, 1]})
    name, written = stack_config("pruned_wav2vec2", conf, dense, kept)
    assert name == "pruned_wav2vec2" and "weights" not in written
    assert written["structure"] == kept.widths()

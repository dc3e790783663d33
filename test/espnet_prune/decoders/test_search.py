# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A beam search finds the same with a masked model and with the cut one on disk."""

import pytest
import torch

import espnet_prune
from espnet_prune import Structure, cut, unit_graph
from espnet_prune.cutting.stock import stack_config
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare
from espnet_prune.models import save_model
from espnet_prune.units import masked
from espnet_prune.utils import write_yaml
from test.espnet_prune.deep import CONFIG, make_model
from test.espnet_prune.encoder_zoo import randomise

CONF = dict(attention_heads=2, linear_units=24, num_blocks=3)
HYBRID = {
    **CONFIG,
    "encoder_conf": {**CONFIG["encoder_conf"], "num_blocks": 2},
    "decoder": "transformer",
    "decoder_conf": CONF,
    "model_conf": {"ctc_weight": 0.3},
}
# widths (a drawn Structure without), and the class that they are written as
DRAWN = (None, "pruned_transformer_decoder")
STOCK = ({"decoder": dict(linear_units=[5, 5], kept_blocks=[0, 1])}, "transformer")


@pytest.fixture(scope="module")
def model():
    """A model whose decoder says something else after every token."""
    made = make_model(HYBRID)
    with torch.no_grad():
        for parameter in made.decoder.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2.0)
    randomise(made.decoder)
    return made


def write(folder, model, config):
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(config, folder / "config.yaml")
    save_model(model, folder / "model.pth")
    return folder


def speech2text(folder, ctc_weight=0.3):
    from espnet2.bin.asr_inference import Speech2Text

    espnet_prune.register()
    return Speech2Text(
        str(folder / "config.yaml"),
        str(folder / "model.pth"),
        dtype="float64",
        ctc_weight=ctc_weight,
        beam_size=3,
        nbest=3,
        maxlenratio=0.6,
    )


def heard(search, wave, batched=True):
    """Return tokens and scores of the best hypotheses."""
    beam = search.beam_search
    kinds = [k for k in type(beam).__mro__ if k.__name__.endswith("BeamSearch")]
    assert kinds[0].__name__ == "BatchBeamSearch"
    if not batched:
        beam.__class__ = kinds[1]
    try:
        found = [h for *_, h in search(wave)]
    finally:
        beam.__class__ = kinds[0]
    return [(h.yseq.tolist(), float(h.score)) for h in found]


def masks_for(model, widths):
    """Return the units, a Structure (a drawn one without widths), and masks for it."""
    graph = unit_graph(model)
    structure = (
        graph.dense.with_widths(widths) if widths else Structure.random(model, 1)
    )
    return graph, structure, soft_masks(graph, structure)


@pytest.mark.parametrize("widths,name", [DRAWN, STOCK])
def test_same_hypotheses_and_scores(model, widths, name, tmp_path):
    graph, structure, masks = masks_for(model, widths)
    small = cut(model, structure, masks)
    assert compare(model, graph, masks, small, trials=3)["equal"]
    config = dict(HYBRID)
    for stack in ("encoder", "decoder"):
        config[stack], config[f"{stack}_conf"] = stack_config(
            HYBRID[stack], HYBRID[f"{stack}_conf"], graph.dense, structure, stack
        )
    assert config["decoder"] == name
    if name == "transformer":
        assert config["decoder_conf"] == dict(CONF, linear_units=5, num_blocks=2)
    dense = speech2text(write(tmp_path / "dense", model, HYBRID))
    pruned = speech2text(write(tmp_path / "pruned", small, config))
    wave = torch.randn(12000, generator=torch.Generator().manual_seed(1))
    for batched in (True, False):
        # a block whose modules are all removed hands on its input
        with masked(dense.asr_model, graph, masks):
            wanted = heard(dense, wave, batched)
        found = heard(pruned, wave, batched)
        assert [ys for ys, _ in found] == [ys for ys, _ in wanted]
        # what remains is the float32 of the file, into which masks were folded
        for (_, ours), (_, theirs) in zip(found, wanted):
            assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5)
    assert len(wanted[0][0]) > 3 and len({tuple(ys) for ys, _ in wanted}) == 3


def test_a_wrong_cut_is_heard(model, tmp_path):
    graph, structure, masks = masks_for(model, None)
    small = cut(model, structure, masks)
    config = dict(HYBRID, encoder="pruned_transformer", decoder=DRAWN[1])
    for stack, own in structure.own.items():
        key = f"{stack}_conf"
        config[key] = dict(HYBRID[key], structure=own.widths())
    with torch.no_grad():
        for block in small.decoder.decoders:
            for name in ("self_attn", "src_attn"):
                linear = getattr(getattr(block, name), "linear_v", None)
                if linear is not None:
                    linear.weight.copy_(linear.weight.roll(8, 0))
    assert not compare(model, graph, masks, small, trials=3)["equal"]
    dense = speech2text(write(tmp_path / "dense", model, HYBRID))
    wrong = speech2text(write(tmp_path / "wrong", small, config))
    wave = torch.randn(16000, generator=torch.Generator().manual_seed(1))
    with masked(dense.asr_model, graph, masks):
        wanted = heard(dense, wave)
    assert heard(wrong, wave)[0][1] != pytest.approx(wanted[0][1], rel=1e-5)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Stochastic depth and intermediate CTC: rates, scaling, and losses."""

import logging

import pytest
import torch
from torch import nn

from espnet_prune import Structure, UserError, cut
from espnet_prune.cutting.stock import stack_config
from espnet_prune.units.stochastic_depth import block_rates, skips_blocks
from test.espnet_prune.encoder_zoo import LATEST, MEL, SMALL, build, pruned_class

CONFS = {"conformer": LATEST, "transformer": SMALL}
NAMES = {"conformer": "latest", "transformer": "transformer"}
FAMILIES = list(CONFS)
TOKENS = ["<blank>", "<unk>", "A", "B", "C", "<sos/eos>"]


def rates(encoder):
    return [block.stochastic_depth_rate for block in encoder.encoders]


def make(family, **more):
    """Build one of our encoders, in train mode, the same weights every time."""
    return build(NAMES[family], pruned=True, **more).train()


def inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 61, MEL, generator=generator), torch.tensor([61, 40])


# the rates


def test_rules():
    assert block_rates(0.2, "constant", 3) == [0.2, 0.2, 0.2]
    assert block_rates(0.2, "linear", 4) == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert block_rates([0, 0.5], "constant", 2) == [0.0, 0.5]
    assert block_rates(0, "linear", 2) == [0.0, 0.0]
    for family in FAMILIES:
        conf = dict(stochastic_depth_rate=0.4, stochastic_depth_rule="linear")
        assert rates(make(family, **conf)) == pytest.approx([0.2, 0.4])
        assert rates(make(family, stochastic_depth_rate=[0, 0.3])) == [0.0, 0.3]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "conf,words",
    [
        (dict(stochastic_depth_rate=1), "1 is not a probability"),
        (dict(stochastic_depth_rate=-0.1), "-0.1 is not a probability"),
        (dict(stochastic_depth_rate=float("nan")), "nan is not a probability"),
        (dict(stochastic_depth_rate="0.1"), "0.1 is not a probability"),
        (dict(stochastic_depth_rate=True), "True is not a probability"),
        (dict(stochastic_depth_rate=[0.1, 1.0]), "1.0 is not a probability"),
        (dict(stochastic_depth_rate=[0.1]), "1 rates for 2 blocks"),
        (dict(stochastic_depth_rule="liner"), "did you mean 'linear'"),
        (
            dict(stochastic_depth_rate=[0.1, 0.2], stochastic_depth_rule="linear"),
            "single stochastic_depth_rate",
        ),
        (dict(layer_drop_rate=0.1), "set stochastic_depth_rate"),
    ],
)
def test_refusals(family, conf, words):
    with pytest.raises(UserError, match=words):
        pruned_class(family)(MEL, **CONFS[family], **conf)


def test_a_dense_model_with_layer_drop_can_be_cut(caplog):
    conf = dict(LATEST, layer_drop_rate=0.1)
    structure = Structure.dense(build("latest")).widths()
    with caplog.at_level(logging.WARNING):
        pruned_class("conformer")(MEL, structure=structure, **conf)
    assert "layer_drop_rate: 0.1 does nothing" in caplog.text


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_keep_their_rates(family):
    conf = dict(stochastic_depth_rate=0.4, stochastic_depth_rule="linear", num_blocks=4)
    encoder = make(family, **conf)
    kept = Structure.dense(encoder).with_widths({"kept_blocks": [0, 3]})
    for small in (
        cut(encoder, kept),
        make(family, structure=kept.widths(), **conf),
    ):
        assert rates(small) == pytest.approx([0.1, 0.4])


def test_written_as_stock(caplog):
    conf = dict(stochastic_depth_rate=0.4, stochastic_depth_rule="linear", num_blocks=4)
    for family in FAMILIES:
        encoder = make(family, **conf)
        dense = Structure.dense(encoder)
        kept = dense.with_widths({"kept_blocks": [0, 3]})
        full = {**CONFS[family], **conf}
        with caplog.at_level(logging.INFO):
            name, written = stack_config(f"pruned_{family}", full, dense, kept)
        assert name == family and "stochastic_depth_rule" not in written
        rebuilt = build(NAMES[family], **written)
        if family == "conformer":
            assert rates(rebuilt) == pytest.approx([0.1, 0.4])
        else:
            assert "stochastic_depth_rate: [0.1, 0.4]" in caplog.text
        uneven = dense.with_widths({"linear_units": [24, 24, 24, 8]})
        name, written = stack_config(f"pruned_{family}", full, dense, uneven)
        assert name == f"pruned_{family}"
        assert rates(make(family, **written)) == rates(encoder)
    conf = dict(LATEST, stochastic_depth_rate=0)
    dense = Structure.dense(build("latest"))
    _, written = stack_config("pruned_conformer", conf, dense, dense)
    assert written["stochastic_depth_rate"] == [0.0, 0.0]


def test_who_skips_blocks():
    assert skips_blocks(make("transformer", stochastic_depth_rate=[0, 0.1]))
    assert not skips_blocks(make("transformer", stochastic_depth_rate=0))
    assert skips_blocks(build("stochastic_depth"))  # the stock Conformer
    assert not skips_blocks(None)


# the function


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rate", [0, 0.0, [0, 0]])
def test_rate_zero_is_the_stock_encoder_in_training(family, rate):
    ours = make(family, stochastic_depth_rate=rate)
    stock = build(NAMES[family]).train()
    outputs = []
    for encoder in (stock, ours):
        torch.manual_seed(1)
        out, lengths, _ = encoder(*inputs())
        out.square().sum().backward()
        outputs.append((out, torch.rand(1)))  # nothing more is drawn either
    assert torch.equal(outputs[0][0], outputs[1][0])
    assert torch.equal(outputs[0][1], outputs[1][1])
    grads = dict(stock.named_parameters())
    for name, p in ours.named_parameters():
        assert torch.equal(p.grad, grads[name].grad), name


class Branch(nn.Module):
    """A linear map of the first argument, whatever else is given."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, x, *unused, **also):
        return x @ self.weight


def linear_block(family, rate, parallel=True):
    """Return a block whose branches are linear, and its input.

    Args:
        parallel: Branches read the first half of the channels and write the second,
            so that none sees what another has added.
    """
    encoder = make(family, stochastic_depth_rate=rate, dropout_rate=0.0)
    block = encoder.encoders[0]
    generator = torch.Generator().manual_seed(0)
    for name, child in list(block.named_children()):
        if name.startswith("norm"):
            setattr(block, name, nn.Identity())
        elif not isinstance(child, nn.Dropout):
            weight = 0.3 * torch.randn(16, 16, generator=generator)
            if parallel:
                weight[8:] = 0.0
                weight[:, :8] = 0.0
            setattr(block, name, Branch(weight))
    x = torch.randn(1, 5, 16, generator=generator)
    return block, (x if family == "transformer" else (x, None))


def call(block, x):
    out = block(x, None)[0]
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("family", FAMILIES)
def test_expected_output_of_a_linear_block(family):
    """The mean over draws in training is the output in evaluation."""
    block, x = linear_block(family, 0.3)
    expected = call(block.eval(), x)
    block.train()
    torch.manual_seed(0)
    draws = torch.stack([call(block, x) for _ in range(4000)])
    residual = x[0] if isinstance(x, tuple) else x
    # a draw is x or x + branch / (1 - p): deviation branch * sqrt(p / (1 - p))
    deviation = (expected - residual).abs() * (0.3 / 0.7 / len(draws)) ** 0.5
    error = (draws.mean(0) - expected).abs()
    assert (error <= 4.5 * deviation + 1e-5).all()
    assert (expected - residual).abs().max() > 0.5


def test_branches_in_sequence_are_scaled_one_by_one():
    """What passes two branches is scaled twice: on average 1 / (1 - p) too much."""
    p = 0.3
    block, x = linear_block("transformer", p, parallel=False)
    attention, ffn = block.self_attn.weight, block.feed_forward.weight
    torch.manual_seed(0)
    draws = [call(block, x) for _ in range(20)]
    (kept,) = {tuple(d.flatten().tolist()) for d in draws if not torch.equal(d, x)}
    mean = p * x + (1 - p) * torch.tensor(kept).view_as(x)
    excess = mean - call(block.eval(), x)
    assert torch.allclose(excess, p / (1 - p) * x @ attention @ ffn, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_how_often_blocks_are_skipped(family):
    conf = dict(stochastic_depth_rate=0.4, stochastic_depth_rule="linear")
    encoder = make(family, **conf)
    x = torch.randn(1, 3, 16)
    x = x if family == "transformer" else (x, torch.zeros(1, 5, 16))
    torch.manual_seed(0)
    for block, p in zip(encoder.encoders, (0.2, 0.4)):
        count = 1000
        outputs = (block(x, None)[0] for _ in range(count))
        first = x if family == "transformer" else x[0]
        outputs = (out if family == "transformer" else out[0] for out in outputs)
        skipped = sum(out is first for out in outputs)
        # 4 standard deviations of a binomial
        assert abs(skipped - count * p) <= 4 * (count * p * (1 - p)) ** 0.5
    encoder.eval()
    assert torch.equal(encoder(*inputs())[0], encoder(*inputs())[0])


# the losses


def ctc_model(family, interctc_weight=0.5, **more):
    """Return a CTC model without a decoder around one of our encoders."""
    from espnet2.asr.ctc import CTC
    from espnet2.asr.espnet_model import ESPnetASRModel

    encoder = make(family, num_blocks=4, **more)
    torch.manual_seed(3)
    parts = dict.fromkeys(
        ("frontend", "specaug", "normalize", "preencoder", "postencoder", "decoder")
    )
    return ESPnetASRModel(
        vocab_size=len(TOKENS),
        token_list=TOKENS,
        encoder=encoder,
        ctc=CTC(odim=len(TOKENS), encoder_output_size=16),
        joint_network=None,
        ctc_weight=1.0,
        interctc_weight=interctc_weight,
        **parts,
    ).train()


def batch():
    text, lengths = torch.tensor([[2, 3, 4], [3, 2, -1]]), torch.tensor([3, 2])
    speech, speech_lengths = inputs()
    return dict(
        speech=speech, speech_lengths=speech_lengths, text=text, text_lengths=lengths
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_interctc_weight_zero_is_plain_ctc(family):
    found = []
    for more in ({}, {"interctc_layer_idx": [1, 2, 3]}):
        model = ctc_model(family, interctc_weight=0.0, **more)
        torch.manual_seed(4)
        loss, stats, _ = model(**batch())
        assert torch.equal(loss, stats["loss_ctc"])
        loss.backward()
        found.append([loss] + [p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("conditioning", [False, True])
def test_a_training_step_with_everything(family, conditioning):
    model = ctc_model(
        family,
        interctc_layer_idx=[1, 2, 3],
        interctc_use_conditioning=conditioning,
        stochastic_depth_rate=0.5,
        stochastic_depth_rule="linear",
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(5)
    skipped = 0
    for _ in range(6):
        optimizer.zero_grad()
        loss, stats, _ = model(**batch())
        taps = [float(stats[f"loss_interctc_layer{i}"]) for i in (1, 2, 3)]
        total = 0.5 * float(stats["loss_ctc"]) + 0.5 * sum(taps) / 3
        assert loss.item() == pytest.approx(total, rel=1e-5)
        loss.backward()
        grads = {n: p.grad for n, p in model.named_parameters()}
        # a skipped block has no gradient; the shared norm and head always have one
        skipped += any(g is None for n, g in grads.items() if ".encoders." in n)
        assert all(g is not None for n, g in grads.items() if ".encoders." not in n)
        assert all(g.isfinite().all() for g in grads.values() if g is not None)
        optimizer.step()
    assert skipped > 0

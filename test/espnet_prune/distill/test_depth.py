# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Shallow passes beside a training step."""

import argparse

import pytest
import torch
from espnet2.asr.espnet_model import ESPnetASRModel

from espnet_prune.distill.depth.conf import DepthConf, even, trained_order
from espnet_prune.distill.depth.hook import EXTENSION, DepthHook
from espnet_prune.models import build_model
from espnet_prune.train.loss_means import LossMix
from espnet_prune.train.model import with_hooks
from espnet_prune.units.blocks import with_blocks
from espnet_prune.utils import UserError
from test.espnet_prune.deep import CONFIG

N = 4
SIZES = dict(CONFIG["encoder_conf"], num_blocks=N, dropout_rate=0.0)
SIZES.update(positional_dropout_rate=0.0, attention_dropout_rate=0.0)
CONFORMER = dict(SIZES, macaron_style=True, cnn_module_kernel=7)
CONFORMER["rel_pos_type"] = "latest"
BRANCHES = {k: v for k, v in SIZES.items() if k != "linear_units"}
BRANCHES.update(cgmlp_linear_units=24, cgmlp_conv_kernel=5)
TAPS = dict(interctc_layer_idx=[1, 2], interctc_use_conditioning=True)
KINDS = {
    "conformer": ("pruned_conformer", CONFORMER),
    "transformer": ("pruned_transformer", dict(SIZES, **TAPS)),
    "branchformer": ("pruned_branchformer", BRANCHES),
    "e_branchformer": ("pruned_e_branchformer", BRANCHES),
}
LOSSES = {"ctc_weight": 1.0, "interctc_weight": 0.3}
SPEECH = torch.randn(3, 8000, generator=torch.Generator().manual_seed(0))
BATCH = (
    SPEECH,
    torch.tensor([8000, 6500, 5200]),
    torch.tensor([[2, 3, 4], [3, 2, -1], [5, -1, -1]]),
    torch.tensor([3, 2, 1]),
)


def make(kind="conformer", **changes):
    torch.manual_seed(1)
    name, conf = KINDS[kind]
    given = dict(encoder=name, encoder_conf={**conf, **changes}, model_conf=LOSSES)
    return with_hooks(build_model({**CONFIG, **given}))


def hooked(model, seed=0, **conf):
    hook = DepthHook(DepthConf.from_dict(conf).of(N), model, seed)
    model.mix = LossMix({"asr": 1.0}, normalise=False)
    model.add_hook(hook)
    return hook


def seen(hook, model):
    """Return what a pass left for its depths: states, and what CTC was given."""
    found, learn = [], hook.learn
    hook.learn = lambda *args: found.append(args[1:3]) or learn(*args)
    with hook.watch(model):
        ESPnetASRModel.forward(model, *BATCH)
    hook.learn = learn
    return found[0]


@pytest.mark.parametrize("order", ["first", "even"])
def test_the_loss_of_the_whole_is_as_without(order):
    """Dropout, skipped blocks and batch statistics are those of a plain training."""
    plain, model = (
        make(dropout_rate=0.1, stochastic_depth_rate=0.3, interctc_layer_idx=[2])
        for _ in range(2)
    )
    hooked(model, order=order)
    losses = []
    for each in (plain, model):
        torch.manual_seed(3)
        each.train()
        loss, stats, _ = each(*BATCH)
        losses.append((loss, stats))
    (wanted, _), (loss, stats) = losses
    assert torch.equal(stats["loss"], wanted.detach())
    assert torch.equal(stats["loss_total"], loss.detach())
    added = 0.5 * stats["loss_depth_ctc"] + 0.5 * stats["loss_depth_kd"]
    torch.testing.assert_close(stats["loss_depth"], added)
    torch.testing.assert_close(loss.detach(), wanted.detach() + added)
    assert float(added) > 1 and 1 <= float(stats["depth"]) < N
    buffers = dict(plain.named_buffers())
    for name, buffer in model.named_buffers():
        if not name.startswith("mix."):
            assert torch.equal(buffer, buffers[name]), name
    rates = {block.stochastic_depth_rate for block in model.encoder.encoders}
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert rates == {0.3} and all(norm.training for norm in norms)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("order", ["first", [2, 3, 1], [1, 4, 2]])
def test_a_shallow_pass_is_the_cut_encoder(kind, order):
    model = make(kind).eval()
    hook = hooked(model, order=order)
    states, asked = seen(hook, model)
    whole = model.encoder
    for depth in (1, 2, 3):
        kept = hook.conf.kept(depth, N)
        assert len(kept) == depth
        hidden = hook.run(states, asked[1], kept)
        model.encoder = with_blocks(whole, kept)
        wanted, lengths = model.encode(*BATCH[:2])
        wanted = wanted[0] if isinstance(wanted, tuple) else wanted
        model.encoder = whole
        assert torch.equal(lengths, asked[1])
        torch.testing.assert_close(hidden, wanted, atol=1e-5, rtol=1e-5)


def test_a_shallow_pass_is_a_model_of_that_depth():
    """While training, too: blocks that run again have the statistics of run time."""
    model = make()
    model.train()
    hook = hooked(model, order=[1, 2, 3])
    states, asked = seen(hook, model)
    small = make(num_blocks=2)
    state = model.state_dict()
    for key in small.state_dict():
        for here, there in ((0, 2), (1, 3)):
            old = key.replace(f"encoders.{here}.", f"encoders.{there}.")
            if old != key:
                state[key] = model.state_dict()[old]
    small.load_state_dict({key: state[key] for key in small.state_dict()})
    wanted, _ = small.eval().encode(*BATCH[:2])
    hidden = hook.run(states, asked[1], hook.conf.kept(2, N))
    torch.testing.assert_close(hidden, wanted, atol=1e-5, rtol=1e-5)


def test_losses_are_those_of_an_utterance():
    model = make().eval()
    hook = hooked(model, order="even")
    states, asked = seen(hook, model)
    ctc, kd = hook.learn(model, states, asked, 2)
    ctc, kd = ctc.detach(), kd.detach()
    hidden = hook.run(states, asked[1], hook.conf.kept(2, N)).detach()
    said, taught = (model.ctc.log_softmax(h).double() for h in (hidden, asked[0]))
    wanted = 0.0
    for theirs, ours, length in zip(taught, said, asked[1].tolist()):
        wanted += (theirs.exp() * (theirs - ours))[:length].sum().item() / len(SPEECH)
    assert float(kd) == pytest.approx(wanted, rel=1e-4)
    torch.testing.assert_close(ctc, model.ctc(hidden, *asked[1:]).detach())


@pytest.mark.parametrize("w_ctc", [0.0, 1.0])
@pytest.mark.parametrize("order", ["first", [2, 3, 4, 1]])
def test_the_gradient_goes_through_what_runs(order, w_ctc):
    """The whole is told nothing, neither its last blocks nor its posteriors."""
    model = make()
    model.train()
    hook = hooked(model, order=order, min_depth=2, draws=0, w_ctc=w_ctc, w_kd=1.0)
    _, asked = seen(hook, model)
    asked[0].retain_grad()
    hook.penalty(model)[0].backward()
    assert asked[0].grad is None
    for i, block in enumerate(model.encoder.encoders):
        moved = any(p.grad is not None and p.grad.any() for p in block.parameters())
        assert moved == (i in hook.conf.kept(2, N)), i
    assert model.ctc.ctc_lo.weight.grad.any()


def test_depths_are_drawn():
    conf = DepthConf.from_dict({"min_depth": 3, "draws": 2}).of(12)
    steps = [conf.draw(12, 7, step) for step in range(300)]
    assert all(first == 3 and len({first, *rest}) == 3 for first, *rest in steps)
    assert {depth for _, *rest in steps for depth in rest} == set(range(4, 12))
    assert steps == [conf.draw(12, 7, step) for step in range(300)]
    assert steps != [conf.draw(12, 8, step) for step in range(300)]
    alone = DepthConf.from_dict({"sandwich": False}).of(12)
    assert {d for s in range(300) for d in alone.draw(12, 0, s)} == set(range(4, 12))
    few = DepthConf.from_dict({"min_depth": 11, "draws": 3}).of(12)
    assert few.draw(12, 0, 0) == [11]


def test_a_resumed_hook_goes_on():
    model = make()
    hook, other = (hooked(model, order="first", seed=5) for _ in range(2))
    seen(hook, model), seen(hook, model)
    other.load_state_dict(hook.state_dict())
    assert other.step_count == hook.step_count == 2


def test_orders_are_nested():
    for number in range(1, 20):
        assert sorted(even(number)) == list(range(1, number + 1))
    conf = DepthConf.from_dict({"order": "even"}).of(12)
    assert conf.kept(6, 12) == [0, 2, 3, 5, 8, 11]
    assert DepthConf.from_dict({}).of(12).kept(5, 12) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "conf, named",
    [
        ({"ordr": "first"}, "did you mean 'order'"),
        ({"order": "odd"}, "order"),
        ({"order": [4, 4, 3]}, "twice"),
        ({"order": [5, 4, 3]}, "no block 5"),
        ({"order": [4]}, "order names 1 blocks, and 3 go"),
        ({"min_depth": 0}, "min_depth is 0"),
        ({"min_depth": 4}, "min_depth 4 is none of an encoder of 4 blocks"),
        ({"draws": 0, "sandwich": False}, "draws is 0"),
        ({"draws": -1}, "draws is -1"),
        ({"w_kd": -1.0}, "0 or more"),
        ({"w_kd": 0.0, "w_ctc": 0.0}, "one of them above 0"),
        ({"w_kd": "much"}, "must be a number"),
    ],
)
def test_bad_keys_are_refused(conf, named):
    with pytest.raises(UserError, match=named) as error:
        DepthConf.from_dict(conf).of(N)
    assert str(error.value).startswith("depth_conf")


def test_other_models_and_methods_are_refused():
    options = dict(depth_conf={"draws": 1}, seed=0)
    cases = [
        (make("e_branchformer", layer_drop_rate=0.2), "layer_drop_rate"),
        (make(), "ctc_weight"),
    ]
    cases[1][0].ctc_weight = 0.3
    for model, named in cases:
        with pytest.raises(UserError, match=f"depth_conf: .*{named}"):
            EXTENSION.extend(argparse.Namespace(**options), model)
    with pytest.raises(UserError, match="random depths and gates"):
        EXTENSION.check(argparse.Namespace(**options, l0_conf={"ramp_steps": 2}))
    assert not EXTENSION.wanted(argparse.Namespace(depth_conf={}))


def test_an_order_is_taken_from_training():
    conf = DepthConf.from_dict({"order": "even", "min_depth": 2}).of(6).written()
    assert trained_order({"depth_conf": conf}, 6, 4) == even(6)[:4]
    for config, number, removed, named in (
        ({}, 6, 2, "has no depth_conf"),
        ({"depth_conf": conf}, 6, 5, "remove at most 4"),
        ({"depth_conf": conf}, 4, 2, "no block 5"),  # of a model that was cut
    ):
        with pytest.raises(UserError, match=named):
            trained_order(config, number, removed)

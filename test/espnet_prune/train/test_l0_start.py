# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Gates that start where method obs ends: its structure, its weights, no ramp."""

import json

import pytest
import torch

from espnet_prune import UserError, attach_gates
from espnet_prune.families import unit_graph
from espnet_prune.models import load_model
from espnet_prune.select.l0.hard_concrete import SHIFT
from espnet_prune.select.l0.start import places
from espnet_prune.utils import write_yaml
from test.espnet_prune import encoder_zoo

BUDGET = {"kind": "params", "sparsity": 0.4}
L0 = {"ramp_steps": 20, "gate_lr": 0.65, "log_interval": 1, "extra_steps": 0}
TRAIN = {"max_epoch": 1, "num_iters_per_epoch": 2, "optim": "adam"}
# weights stay, so that what they were in the beginning can be seen
TRAIN["optim_conf"] = {"lr": 0.0}
KEYS = ("batch_type", "batch_size", "num_workers", "use_matplotlib", "scheduler")


def select_by(tiny, dense, name, conf, model=None):
    """Select into a directory; return it."""
    from espnet_prune.bin import select

    folder = tiny.root / f"start_{name}"
    folder.mkdir(exist_ok=True)
    write_yaml({"budget": BUDGET, **conf}, folder / "select.yaml")
    words = {"config": folder / "select.yaml", "output_dir": folder}
    words["model_config"] = dense / "config.yaml"
    words["model_file"] = model or dense / "valid.acc.ave.pth"
    options = [w for key, value in words.items() for w in (f"--{key}", str(value))]
    select.main([*options, *(tiny.options if conf["method"] == "l0" else [])])
    return folder


def l0_conf(tiny, **changes):
    training = {**{key: tiny.config[key] for key in KEYS}, **TRAIN}
    own = {**L0, "start": "obs", **changes}
    return {"method": "l0", "l0_conf": own, "train_conf": training}


def tensors(path):
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def obs(tiny, dense):
    return select_by(tiny, dense, "obs", {"method": "obs"})


@pytest.fixture(scope="module")
def begun(tiny, dense):
    return select_by(tiny, dense, "l0", l0_conf(tiny))


def agreement(a, b):
    """Return the share of units that two selections treat alike."""
    a, b = (torch.cat([masks[name] != 0 for name in sorted(masks)]) for masks in (a, b))
    return float((a == b).float().mean())


def test_without_a_step_the_gates_are_what_obs_selects(dense, obs, begun):
    wanted, start = tensors(obs / "masks.pth"), begun / "start/places.pth"
    model = load_model(dense / "config.yaml", dense / "valid.acc.ave.pth")[0]
    gates = attach_gates(model.encoder, budget=BUDGET, **L0, start=start)
    masks = {name: wanted.get(name) for name in gates.names}
    assert agreement(gates.masks(), masks) > 0.99
    stays = torch.cat([masks[name] for name in gates.names]) != 0
    assert bool((gates.theta[stays] > 3).all())
    assert bool((gates.theta[~stays] + SHIFT < -2).all())  # open in one step of eight
    assert 0.35 < gates.sparsity().item() < 0.42
    place = torch.cat([tensors(start)[name] for name in gates.names])
    assert torch.equal(gates.theta.argsort(stable=True), place.argsort(stable=True))


def test_places_are_in_the_order_of_obs():
    graph = unit_graph(encoder_zoo.build("latest"))
    generator = torch.Generator().manual_seed(0)
    order = {u.name: torch.rand(u.size, generator=generator) for u in graph}
    order = {name: v for name, v in order.items() if graph[name].kind != "module"}
    masks = {name: (v > 0.4).float() for name, v in order.items()}
    masks = graph.close({**masks, "encoders.1.feed_forward": torch.zeros(1)})
    found = places(graph, masks, order, list(masks))
    for stays in (True, False):
        pairs = [(order[n], found[n], (masks[n] != 0) == stays) for n in order]
        ranked, place = (torch.cat([p[i][p[2]] for p in pairs]) for i in (0, 1))
        assert torch.equal(ranked.argsort(), place.argsort())
        assert bool(((place > 0) == stays).all()) and place.abs().max() <= 1
    whole, inner = "encoders.1.feed_forward", "encoders.1.feed_forward.units"
    assert -1 <= found[whole] < 0 and abs(found[whole] - found[inner].max()) < 0.02


def test_the_training_starts_from_the_weights_of_obs(dense, obs, begun):
    files = obs / "weights.pth", begun / "train/weights.pth"
    models = [load_model(dense / "config.yaml", file)[0] for file in files]
    solved, trained = (model.state_dict() for model in models)
    for name, tensor in solved.items():
        if "running_" not in name and "num_batches" not in name:
            assert torch.equal(trained[name], tensor), name
    lines = (begun / "select.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert first["target"] == 0.4 and first["reached"] > 0.3  # no ramp
    found = [tensors(folder / "masks.pth") for folder in (begun, obs)]
    assert agreement(*found) > 0.95


def test_it_goes_on_without_calibrating_again(tiny, dense, begun, monkeypatch):
    before = tensors(begun / "masks.pth")
    monkeypatch.setattr("espnet_prune.select.obs.run.make_path", None)
    select_by(tiny, dense, "l0", l0_conf(tiny))
    after = tensors(begun / "masks.pth")
    assert all(torch.equal(mask, after[name]) for name, mask in before.items())


def test_another_model_is_refused(tiny, dense, begun):
    state = tensors(dense / "valid.acc.ave.pth")
    other = tiny.root / "other.pth"
    torch.save({name: 2 * tensor for name, tensor in state.items()}, other)
    with pytest.raises(UserError, match="start for another model or budget; remove"):
        select_by(tiny, dense, "l0", l0_conf(tiny), other)


def test_what_is_no_start_is_refused(tiny, dense, begun, tmp_path):
    with pytest.raises(UserError, match="l0_conf: start is 'magnitude', must be obs"):
        select_by(tiny, dense, "no", l0_conf(tiny, start="magnitude"))
    model = load_model(dense / "config.yaml", dense / "valid.acc.ave.pth")[0]
    found = tensors(begun / "start/places.pth")
    name = next(iter(found))
    torch.save({**found, name: torch.ones(99)}, tmp_path / "places.pth")
    with pytest.raises(UserError, match="is of other units than this model has"):
        conf = {**L0, "start": tmp_path / "places.pth"}
        attach_gates(model.encoder, budget=BUDGET, **conf)

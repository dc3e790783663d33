# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A removal path: rounds, sizes, what may go and what stays."""

import pytest
import torch

from espnet_prune.select.budget import Budget
from espnet_prune.select.obs import removal, statistics, stored
from espnet_prune.select.obs.calibrate import flat_weight
from espnet_prune.select.obs.path import left_of, rounds_to
from espnet_prune.select.obs.readers import all_readers
from espnet_prune.select.obs.removal import damped, solve
from espnet_prune.utils import UserError
from test.espnet_prune import encoder_zoo
from test.espnet_prune.select.obs.stubs import (
    Noise,
    check_path,
    gone,
    plan_of,
    sized,
    variant_path,
)

VARIANTS = ("latest", "e_branchformer_linear", "large", "wavlm")


@pytest.fixture(scope="module", params=VARIANTS)
def path(request):
    return variant_path(request.param, 0.6, [0.3, 0.45])


def test_the_end_is_what_the_rounds_have_come_to(path):
    """A round begins with what `at` gives for the one before, weights included."""
    for index, sparsity in enumerate((0.3, 0.45), start=1):
        selection, start = path.at(sized(path, sparsity)), path.rounds[index]
        for name, mask in start.masks.items():
            assert torch.equal(mask, selection.masks[name])
        for name, tensor in start.changed.items():
            assert torch.equal(tensor, selection.weights[f"encoder.{name}"])
    # a little further on, what was solved before stays so
    further = path.at(sized(path, 0.46)).weights
    for name in path.rounds[2].changed:
        assert not torch.equal(further[f"encoder.{name}"], path.dense[name])
    assert all(
        torch.equal(mask, path.end[name])
        for name, mask in path.at(sized(path, 0.6)).masks.items()
    )


def test_its_order_is_that_of_all_rounds(path):
    """What a round has removed goes before what is left of it."""
    order = path.order()
    assert {n: len(v) for n, v in order.items()} == {
        name: path.graph[name].size for name in order
    }
    for current in path.rounds[1:]:
        masks = [(order[n], current.masks[n].bool()) for n in order]
        first = torch.cat([values[~mask] for values, mask in masks])
        assert first.max() < torch.cat([v[mask] for v, mask in masks]).min()


def test_every_round_solves_what_its_own_model_reads(path):
    """The weights of a cut are those solved in the cut model that was calibrated."""
    last = path.rounds[-1]
    before = path.model(last.changed, last.masks).encoder
    selection = path.at(sized(path, 0.6))
    own = {name[len("encoder.") :]: t for name, t in selection.weights.items()}
    after = path.model(own, selection.masks).encoder
    solved = 0
    for name, readers in all_readers(left_of(path.graph, last.masks), before).items():
        alive = last.masks[name].bool()
        kept = selection.masks[name].bool()[alive]
        if kept.all() or not kept.any():
            continue
        for reader in readers:
            old, new = (m.get_submodule(reader.layer) for m in (before, after))
            rows = torch.arange(len(old.weight))
            if len(new.weight) < len(old.weight):  # it has lost outputs, too
                (rows,) = rows_left(path, last.masks, selection.masks, reader.layer)
            seen = last.moments[reader.layer]
            second = damped(seen.second(centred=old.bias is not None))
            columns = kept.repeat_interleave(reader.group).nonzero().squeeze(1)
            wanted = solve(flat_weight(old), second, columns)
            assert torch.allclose(flat_weight(new), wanted[rows], rtol=1e-4, atol=1e-5)
            if old.bias is not None:
                mean, lost = seen.mean(), flat_weight(old).clone()
                lost[:, columns] -= wanted
                bias = (old.bias + lost @ mean)[rows].float()
                assert torch.allclose(new.bias, bias, rtol=1e-4, atol=1e-5)
            solved += 1
    assert solved > 3


def rows_left(path, before, after, layer):
    """Return which outputs of a layer of the cut model stay."""
    return [
        after[unit.name].bool()[before[unit.name].bool()].nonzero().squeeze(1)
        for unit in path.graph
        if any(p.tensor == f"{layer}.weight" and p.dim == 0 for p in unit.producers)
        and unit.kind != "module"
    ]


def test_the_same_again():
    first, second = (variant_path("latest", 0.6, [0.3]) for _ in range(2))
    found = [p.at(sized(p, 0.5)) for p in (first, second)]
    for name, mask in found[0].masks.items():
        assert torch.equal(mask, found[1].masks[name])
    for name, tensor in found[0].weights.items():
        assert torch.equal(tensor, found[1].weights[name])


def test_damping_holds_weights_back():
    """What is solved with more of it trusts what was heard less."""
    found = []
    for damping in (0.001, 10.0):
        path = variant_path("latest", 0.3, obs_conf={"damping": damping})
        selection = path.at(sized(path, 0.3))
        moved = 0.0
        for name, tensor in path.dense.items():
            unit = path.graph.units.get(name.replace("w_2.weight", "units"))
            if unit is not None:
                kept = selection.masks[unit.name].bool()
                moved += (selection.weights[f"encoder.{name}"] - tensor)[:, kept].norm()
        found.append(float(moved))
    assert found[0] > 2 * found[1] > 0


def test_a_path_on_disk_is_the_same_path(path, tmp_path, monkeypatch):
    assert stored.save_path(path, tmp_path)
    again = stored.load_path(tmp_path, path.plan)
    for sparsity in (0.2, 0.4, 0.6):
        own, read = (p.at(sized(path, sparsity)) for p in (path, again))
        assert all(torch.equal(m, read.masks[name]) for name, m in own.masks.items())
        assert all(torch.equal(t, read.weights[n]) for n, t in own.weights.items())
    model = encoder_zoo.build("latest", seed=7)
    with pytest.raises(UserError, match="is of another model than the one given"):
        stored.load_path(tmp_path, plan_of(model, {"sparsity": 0.5}))
    monkeypatch.setattr(stored, "MOST_BYTES", 1000)
    assert not stored.save_path(path, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_below_the_end_there_is_nothing(path):
    with pytest.raises(UserError, match="sparsity 0.7 of params is beyond the end"):
        path.at(sized(path, 0.7))


def test_whole_modules_alone():
    path = variant_path("latest", 0.4, [0.2], units=["module"])
    for selection in check_path(path, [0.2, 0.4]):
        structure = selection.structure["encoder"]
        heads, units = (
            structure.blocks[k] for k in ("attention_heads", "linear_units")
        )
        assert set(heads) <= {0, 4} and set(units) <= {0, 24}
        assert structure.front == path.graph.dense["encoder"].front
        changed = [
            name
            for name, tensor in selection.weights.items()
            if not torch.equal(tensor, path.dense[name[len("encoder.") :]])
        ]
        assert not changed  # nothing has lost a part of its inputs


@pytest.mark.parametrize("kind", ["head", "ffn_unit", "conv_channel"])
def test_one_kind(kind):
    path = variant_path("latest", 0.08, [0.04], units=[kind])
    for selection in check_path(path, [0.08]):
        for unit in path.graph.of_kinds(("head", "ffn_unit", "conv_channel")):
            assert (unit.kind == kind) or selection.masks[unit.name].all()


def test_wide_layers(monkeypatch):
    """Moments in float32 and many units at once make a model that is cut as well."""
    found = {}
    for name in ("exact", "wide"):
        path = variant_path("e_branchformer_linear", 0.5)
        found[name], _ = check_path(path, [0.3, 0.5])
        monkeypatch.setattr(statistics, "WIDE", 8)
        monkeypatch.setattr(removal, "WIDE", 8)
        monkeypatch.setattr(removal, "TIMES", 8)
    seen = path.rounds[0].moments.values()
    assert {moments.gram.dtype for moments in seen} == {torch.float32}
    alike = [
        torch.equal(mask, found["wide"].masks[name])
        for name, mask in found["exact"].masks.items()
    ]
    assert sum(alike) > len(alike) / 2


def test_multiples():
    path = variant_path("latest", 0.5, [0.3], round_to=4)
    for selection in check_path(path, [0.2, 0.5]):
        for unit in path.graph:
            count = int(selection.masks[unit.name].sum())
            assert count % 4 == 0 or unit.size <= 4


def test_a_powers_choice_is_the_judges():
    """Every scaling is cut and judged, and the best one goes on."""
    seen = []

    def judged(model):
        seen.append(sum(p.numel() for p in model.parameters()))
        return [(0.1, 2.0), (0.3, 1.0), (0.1, 1.0)][len(seen) % 3]

    budget = {"kind": "macs", "frames": 400, "sparsity": 0.4}
    encoder = encoder_zoo.build("latest")
    plan, numel = plan_of(encoder, budget), sum(p.numel() for p in encoder.parameters())
    path = gone(plan, Noise("latest"), [0.2], (0.0, 0.5, 1.0), judged)
    assert len(seen) == 6 and max(seen) < numel
    best = {"power": 0.5, "error": 0.1, "loss": 1.0}
    for told, sparsity in zip(path.told, (0.2, 0.4)):
        assert told == {"budget": {**budget, "sparsity": sparsity}, **best}


def test_where_rounds_end():
    budget = Budget.from_conf([{"sparsity": 0.6}, {"kind": "macs", "sparsity": 0.3}])
    found = [[t.sparsity for t in b] for b in rounds_to(budget, [0.3, 0.5, 0.7])]
    assert found == [[0.3, 0.15], [0.5, 0.25], [0.6, 0.3]]

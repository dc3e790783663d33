# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A batch with a number that is not finite changes nothing."""

import logging

import numpy as np
import pytest
import soundfile
import torch

from espnet_prune.train.finite import FiniteGuard
from espnet_prune.utils import UserError
from test.espnet_prune.train.gated import command
from test.espnet_prune.train.test_task import batch, build
from test.espnet_prune.train.two import in_two_processes, rank_options, record


class Tiny(torch.nn.Module):
    """Batch norm, a buffer that is infinite on purpose, and any loss."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)
        self.register_buffer("bias", torch.full((2,), -float("inf")))

    def forward(self, x, factor=1.0, **kwargs):
        loss = self.norm(x).square().mean() * factor
        return loss.reshape(1), {}, torch.tensor(len(x))


def everything(model):
    """Return all that a model holds, also what state_dict leaves out."""
    return [v.clone() for v in [*model.parameters(), *model.buffers()]]


def step(model, optimizer, data):
    """Do what ESPnet's trainer does with a batch."""
    loss = model(**data)[0]
    optimizer.zero_grad()
    loss.sum().backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    if torch.isfinite(norm):
        optimizer.step()
    return torch.isfinite(norm)


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b))


@pytest.mark.parametrize(
    "x, factor",
    [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("inf")), (1e30, 0.0)],
)
def test_buffers_come_back(x, factor):
    model = Tiny()
    optimizer = torch.optim.Adam(model.parameters())
    good = {"x": torch.randn(8, 3)}
    bad = {"x": torch.randn(8, 3) * x, "factor": factor}
    with FiniteGuard(model):
        assert step(model, optimizer, good)
        before = everything(model)
        assert not step(model, optimizer, bad)
        assert equal(before, everything(model))
        assert step(model, optimizer, good) and not equal(before, everything(model))
        model.eval()
        model(**bad)  # the validation is not looked at
    assert not model._forward_hooks and not model._forward_pre_hooks


def test_a_skipped_step_of_several_batches_leaves_nothing():
    """Only the gradient of the second batch is not finite."""

    class Rooted(Tiny):
        def forward(self, x, factor=1.0, **kwargs):
            loss, stats, weight = super().forward(x, factor)
            root = (self.norm.weight * 0.0).sqrt().sum() if factor == 0.0 else 0.0
            return loss + root, stats, weight

    model = Rooted()
    optimizer = torch.optim.Adam(model.parameters())
    clip = torch.nn.utils.clip_grad_norm_
    with FiniteGuard(model):
        assert step(model, optimizer, {"x": torch.randn(8, 3)})
        before = everything(model)
        model(torch.randn(8, 3))[0].sum().backward()
        assert not equal(before, everything(model))
        loss = model(torch.randn(8, 3), 0.0)[0]
        loss.sum().backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        assert loss.isfinite() and norm.isnan()
        assert equal(before, everything(model))
        optimizer.zero_grad()
        assert step(model, optimizer, {"x": torch.randn(8, 3)})
    assert torch.nn.utils.clip_grad_norm_ is clip


def test_a_gated_model_with_a_teacher(tiny, dense, train):
    task, args, model = build(tiny, dense)
    (optimizer,) = task.build_optimizers(args, model.train())
    bad = batch()
    bad["speech"] = bad["speech"].clone()
    bad["speech"][1, 5000:5010] = float("nan")
    with FiniteGuard(model):
        assert step(model, optimizer, batch())
        before = everything(model)
        assert not step(model, optimizer, bad)
        after = everything(model)
        assert equal(before, after)
        assert all(value.isfinite().all() for value in after)
        assert step(model, optimizer, batch())


def test_many_in_a_row_end_the_run():
    model = Tiny()
    with FiniteGuard(model):
        for _ in range(19):
            model(torch.randn(8, 3) * float("nan"))
        model(torch.randn(8, 3))
        with pytest.raises(UserError, match=r"20 batches in a row \(last: a, b\)"):
            for _ in range(20):
                model(torch.randn(8, 3) * float("nan"), utt_id=["a", "b"])


@pytest.fixture
def broken(tiny):
    """Return the options of data whose first utterance holds NaN."""
    lines = (tiny.data / "train_wav.scp").read_text().splitlines()
    key, path = lines[0].split()
    wave, rate = soundfile.read(path)
    wave[100:200] = np.nan
    soundfile.write(tiny.data / "nan.wav", wave, rate, subtype="FLOAT")
    lines[0] = f"{key} {tiny.data / 'nan.wav'}"
    (tiny.data / "nan_wav.scp").write_text("\n".join(lines) + "\n")

    def options(cmd):
        return [word.replace("/train_wav.scp", "/nan_wav.scp") for word in cmd]

    return key, options


@pytest.mark.parametrize("gated", [True, False])
def test_a_training_with_a_broken_utterance(tiny, dense, train, broken, caplog, gated):
    key, options = broken
    output = tiny.root / f"nan_{gated}"
    cmd = command(tiny, dense, output, epochs=2)
    if not gated:  # the dense training
        config = tiny.write_config(tiny.root / "nan.yaml", max_epoch=2)
        cmd = ["--config", config, "--output_dir", str(output), *tiny.options]
    with caplog.at_level(logging.WARNING):
        train(options(cmd))
    told = [r.message for r in caplog.records if "changes nothing" in r.message]
    assert len(told) == 2 and key in told[0]  # once in each epoch
    name = "weights.pth" if gated else "valid.acc.ave.pth"
    state = torch.load(output / name, weights_only=True)
    assert any("running_var" in k for k in state)
    assert all(value.isfinite().all() for value in state.values())


def test_ranks_decide_alike(tmp_path):
    def work(rank):
        torch.distributed.init_process_group(
            "gloo", f"file://{tmp_path}/meet", rank=rank, world_size=2
        )
        model = Tiny()
        before = everything(model)
        with FiniteGuard(model):
            for broken in (0, 1):
                x = torch.randn(8, 3)
                loss, _, _ = model(x * float("nan") if rank == broken else x)
                assert loss.isnan() and equal(before, everything(model))
            loss, _, _ = model(x)
            assert loss.isfinite() and not equal(before, everything(model))

    assert in_two_processes(work) == [0, 0]


def test_nan_in_one_rank_only(tiny, dense, train, broken):
    key, options = broken
    output = tiny.root / "nan_two"
    changes = dict(accum_grad=1, batch_type="unsorted", epochs=1)
    run = options(command(tiny, dense, output, **changes))

    def work(rank):
        record(tiny.root / f"nan.rank{rank}.pt")
        train([*run, *rank_options(rank, tiny.root / "meet_nan")])

    assert in_two_processes(work) == [0, 0]
    ranks = [
        torch.load(tiny.root / f"nan.rank{r}.pt", weights_only=True)["state"]
        for r in (0, 1)
    ]
    assert [int(state["gates.lagrangian.step"]) for state in ranks] == [5, 5]
    start = torch.load(dense / "valid.acc.ave.pth", weights_only=True)
    seen = set()
    for name, value in ranks[0].items():
        assert value.isfinite().all() and ranks[1][name].isfinite().all(), name
        if "running_" not in name:
            assert torch.equal(value, ranks[1][name]), name
        if "num_batches_tracked" in name:
            seen.add(int(value - start[name]))
    assert seen == {5}  # batches, of 6

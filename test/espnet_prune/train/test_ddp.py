# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Gates, multipliers and distillation in two processes."""

import json
import os
import signal

import pytest
import torch

from espnet_prune.utils import read_json, write_yaml
from test.espnet_prune.train.gated import command
from test.espnet_prune.train.two import in_two_processes, rank_options, record

# no dropout and no batch norm: what is left does not depend on the sharding
ENCODER = dict(
    output_size=16,
    attention_heads=2,
    linear_units=24,
    num_blocks=2,
    input_layer="conv2d",
    macaron_style=True,
    rel_pos_type="latest",
    pos_enc_layer_type="rel_pos",
    selfattention_layer_type="rel_selfattn",
    use_cnn_module=False,
    dropout_rate=0.0,
    positional_dropout_rate=0.0,
    attention_dropout_rate=0.0,
)
DECODER = dict(
    attention_heads=2,
    linear_units=24,
    num_blocks=1,
    dropout_rate=0.0,
    positional_dropout_rate=0.0,
    self_attention_dropout_rate=0.0,
    src_attention_dropout_rate=0.0,
)
# a large eps: Adam must not blow up gradients that are zero up to rounding
EXACT = dict(
    encoder_conf=ENCODER,
    decoder_conf=DECODER,
    specaug=None,
    specaug_conf=None,
    optim_conf=dict(lr=0.002, eps=1e-3),
    distill_conf=dict(layers=2, blank_weight=True),
    accum_grad=1,
    epochs=3,
)


def load(path):
    return torch.load(path, weights_only=True)


def trained(run, output, meeting, train):
    """Train as two ranks that record what they know; return both records."""

    def work(rank):
        record(output.parent / f"{output.name}.rank{rank}.pt")
        train([*run, *rank_options(rank, meeting)])

    assert in_two_processes(work) == [0, 0]
    return [load(output.parent / f"{output.name}.rank{r}.pt") for r in (0, 1)]


def assert_equal(a, b):
    assert a["widths"] == b["widths"]
    for part in ("state", "means"):
        for key in a[part]:
            assert torch.equal(a[part][key], b[part][key]), key


def mixed_batches(tiny):
    """Write batches of 5 whose two longest go to different ranks, which get 3 and 2.

    In this ESPnet, how many frames of an utterance are valid depends on whether it is
    the longest of its batch.
    """
    lines = (tiny.data / "train_shape").read_text().splitlines()
    longest = max(int(line.split()[1]) for line in lines)
    long = [line for line in lines if int(line.split()[1]) == longest]
    short = [line for line in lines if line not in long]
    order = [*long[:2], *short[:3], *long[2:4], *(short[3:] + long[4:])[:3]]
    assert len(order) == 10
    (tiny.data / "mixed_shape").write_text("\n".join(order) + "\n")


def test_two_ranks_equal_one_process(tiny, dense, train):
    mixed_batches(tiny)
    found = {}
    for name in ("one", "both"):
        output = tiny.root / f"equal_{name}"
        run = command(tiny, dense, output, **EXACT)
        run = [word.replace("train_shape", "mixed_shape") for word in run]
        run = [word.replace("--mixed_shape", "--train_shape") for word in run]
        run += ["--batch_size", "5", "--valid_batch_size", "4"]
        run += ["--ignore_init_mismatch", "true"]
        if name == "one":
            with pytest.MonkeyPatch.context() as patch:
                from espnet_prune.select.l0.hook import GateHook

                patch.setattr(GateHook, "run_end", GateHook.run_end)
                record(tiny.root / "one.pt")
                train(run)
            found[name] = load(tiny.root / "one.pt")
        else:
            first, second = trained(run, output, tiny.root / "meet_equal", train)
            assert_equal(first, second)
            found[name] = first
    one, both = found["one"], found["both"]
    assert float(one["state"]["gates.lagrangian.step"]) == 6
    assert one["widths"] == both["widths"]
    worst = {}
    for part in ("state", "means"):
        for key, value in one[part].items():
            difference = (value.double() - both[part][key].double()).abs().max()
            worst[key] = float(difference / value.double().abs().max().clamp_min(1.0))
    # gates move 100 times as fast as weights
    assert worst.pop("gates.theta") < 1e-4
    assert max(worst.values()) < 1e-5, max(worst.items(), key=lambda item: item[1])
    logs = [
        [json.loads(line) for line in open(tiny.root / f"equal_{n}" / "select.jsonl")]
        for n in ("one", "both")
    ]
    for a, b in zip(*logs):
        for key in ("target", "reached", "multiplier", "kd_layer", "kd_ctc", "kd_att"):
            assert a[key] == pytest.approx(b[key], abs=2e-5), key


def test_uneven_numbers_of_batches_then_a_resume(tiny, dense, train):
    output = tiny.root / "uneven"

    def fewer(rank):
        """Take a batch from rank 1 in epoch 1, from rank 0 in epoch 2."""
        from espnet2.iterators.sequence_iter_factory import SequenceIterFactory

        original = SequenceIterFactory.build_iter

        def build_iter(factory, epoch, shuffle=None):
            batches = list(original(factory, epoch, shuffle))
            return batches[: len(batches) - (rank == epoch % 2)]

        SequenceIterFactory.build_iter = build_iter

    for epochs in (1, 2):
        run = command(tiny, dense, output, epochs=epochs)

        def work(rank, run=run, epochs=epochs):
            fewer(rank)
            record(tiny.root / f"uneven.rank{rank}.pt")
            train([*run, *rank_options(rank, tiny.root / f"meet_uneven{epochs}")])

        assert in_two_processes(work) == [0, 0]
        first, second = (load(tiny.root / f"uneven.rank{r}.pt") for r in (0, 1))
        for known in (first, second):  # each rank's own; the first's are saved
            for key in [key for key in known["state"] if "running_" in key]:
                del known["state"][key]
        assert_equal(first, second)
    lines = (output / "select.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 2]
    steps = float(load(output / "gates.pth")["lagrangian.step"])
    assert steps == 4  # in each epoch 5 of 6 batches, two of them make a step


def test_a_rank_that_dies_ends_the_training(tiny, dense, train):
    output = tiny.root / "dies"
    run = command(tiny, dense, output)

    def work(rank):
        if rank == 1:
            from torch.optim.optimizer import register_optimizer_step_post_hook

            register_optimizer_step_post_hook(
                lambda *unused: os.kill(os.getpid(), signal.SIGKILL)
            )
        train([*run, *rank_options(rank, tiny.root / "meet_dies")])

    survivor, dead = in_two_processes(work)
    assert os.WTERMSIG(dead) == signal.SIGKILL
    assert os.WIFEXITED(survivor) and os.WEXITSTATUS(survivor) != 0


def test_different_checkpoints_are_told(tiny, train):
    from espnet_prune.train.ranks import check_agreement
    from espnet_prune.utils import UserError

    check_agreement(3, "exp", "cpu")  # one process

    def work(rank):
        torch.distributed.init_process_group(
            "gloo", f"file://{tiny.root}/meet_epochs", rank=rank, world_size=2
        )
        check_agreement(5, "exp", "cpu")
        with pytest.raises(UserError, match="exp: rank . resumes after epoch"):
            check_agreement(rank, "exp", "cpu")

    assert in_two_processes(work) == [0, 0]


def test_a_selection_in_two_processes(tiny, dense):
    from espnet_prune.bin import select

    keys = ("batch_type", "batch_size", "num_workers", "optim", "optim_conf")
    keys += ("use_matplotlib", "use_tensorboard")
    conf = {
        "method": "l0",
        "budget": {"kind": "params", "sparsity": 0.4},
        "l0_conf": {"ramp_steps": 20, "gate_lr": 0.65, "extra_steps": 0},
        "train_conf": {**{key: tiny.config[key] for key in keys}, "max_epoch": 1},
    }
    write_yaml(conf, tiny.root / "select.yaml")
    output = tiny.root / "selected"
    run = ["--config", str(tiny.root / "select.yaml"), "--output_dir", str(output)]
    run += ["--model_config", str(dense / "config.yaml")]
    run += ["--model_file", str(dense / "valid.acc.ave.pth"), *tiny.options]

    def work(rank):
        if rank == 1:
            select.finish_l0 = None  # only the first process comes there
        select.main([*run, *rank_options(rank, tiny.root / "meet_select")])

    assert in_two_processes(work) == [0, 0]
    assert (
        abs(read_json(output / "structure.json")["provenance"]["reached"] - 0.4) < 0.02
    )


def test_the_selection_goes_on_in_the_first_process_only(monkeypatch):
    from argparse import Namespace

    from espnet_prune.train.ranks import is_main

    assert is_main(Namespace(distributed=False))
    node = Namespace(distributed=True, dist_rank=None, dist_launcher="slurm")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "a,b")
    for number in ("0", "1"):
        monkeypatch.setenv("SLURM_NODEID", number)
        assert is_main(node) is (number == "0")

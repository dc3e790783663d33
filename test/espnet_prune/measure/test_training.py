# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import argparse

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from espnet_prune.measure import training
from espnet_prune.measure.training import batch_seconds, measure_step, num_steps
from test.espnet_prune import deep


def options(**given):
    """Options of a training as ESPnet's parser has them."""
    default = dict(batch_type="folded", batch_size=20, batch_bins=1000000)
    default.update(fold_length=[], accum_grad=1, max_epoch=2, num_iters_per_epoch=None)
    return argparse.Namespace(**{**default, **given})


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("espnet2")
    return deep.make_model(deep.CONFIG)


def test_a_step_is_counted(model):
    from espnet_prune import cost

    step = measure_step(model, seconds=2.0, num_tokens=3)
    frames = 2 * 16000 // 160 + 1
    time = ((frames - 1) // 2 - 1) // 2
    mel = frames * 129 * 20
    ctc = time * 16 * len(deep.TOKENS)
    assert step.forward_flops == 2 * (cost(model.encoder, frames).macs + mel + ctc)
    # all have two gradients, but the filters none, the first convolution no input's
    first = (frames - 1) // 2 * 9 * 9 * 16
    assert step.flops == 3 * step.forward_flops - 4 * mel - 2 * first
    number = sum(p.numel() for p in model.parameters())
    assert (step.weights, step.state) == (4 * number, 16 * number)
    assert not model.training
    assert all(p.grad is None for p in model.parameters())


def test_activations_grow_with_the_speech(model):
    first, second = (measure_step(model, s, 3).activations for s in (2.0, 4.0))
    assert 2 < second / first < 4  # attention grows with the square


def test_frozen_weights_have_no_state(model):
    number = sum(p.numel() for p in model.parameters())
    frozen = list(model.encoder.embed.parameters())
    for parameter in frozen:
        parameter.requires_grad_(False)
    step = measure_step(model, 1.0, 3)
    for parameter in frozen:
        parameter.requires_grad_(True)
    assert step.state == 16 * number - 12 * sum(p.numel() for p in frozen)


def test_no_block_is_left_out():
    pytest.importorskip("espnet2")
    conf = {**deep.CONFIG["encoder_conf"], "stochastic_depth_rate": 0.9}
    conf = {**deep.CONFIG, "encoder": "pruned_transformer", "encoder_conf": conf}
    model = deep.make_model(conf)
    flops = {measure_step(model, 1.0, 3).flops for _ in range(3)}
    assert len(flops) == 1
    rates = [r for _, _, r in training._dropped(model) if r]
    assert rates and set(rates) == {0.9}  # as before


@pytest.mark.parametrize("groups", [1, 4])
def test_grouped_convolutions_cost_what_they_do(groups):
    """Forward, and as much again for the gradients of input and of weight."""
    conv = torch.nn.Conv1d(8, 8, 3, groups=groups)
    x = torch.randn(1, 8, 12, requires_grad=True)
    mapping = {torch.ops.aten.convolution_backward: training._backward_flops}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        conv(x).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 8 * 8 // groups * 3 * 10


def test_batches_are_those_of_espnet(tmp_path):
    """As many utterances as ESPnet's sampler takes of a corpus of such utterances."""
    samplers = pytest.importorskip("espnet2.samplers.build_batch_sampler")
    speech, text = tmp_path / "speech_shape", tmp_path / "text_shape"
    seconds, vocab, tokens = 5.0, 500, 4
    names = [f"u{i}" for i in range(400)]
    speech.write_text("".join(f"{n} {int(seconds * 16000) - 1}\n" for n in names))
    text.write_text("".join(f"{n} {int(seconds * tokens)},{vocab}\n" for n in names))
    for kind in ("numel", "folded"):
        args = options(batch_type=kind, batch_size=24, fold_length=[80000, 150])
        sampler = samplers.build_batch_sampler(
            type=kind,
            batch_size=args.batch_size,
            batch_bins=args.batch_bins,
            shape_files=[str(speech), str(text)],
            fold_lengths=args.fold_length,
        )
        number = max(len(batch) for batch in sampler)
        # in the second kind an utterance of 5 s is just below the fold
        length = seconds if kind == "numel" else seconds - 0.01
        assert abs(batch_seconds(args, length, vocab) / length - number) <= 1


def test_steps_of_a_training():
    assert num_steps(options(), hours=1.0, batch=36.0) == 200
    assert num_steps(options(accum_grad=4), hours=1.0, batch=36.0) == 50
    args = options(num_iters_per_epoch=10)
    assert num_steps(args, hours=1.0, batch=36.0) == 20
    args = options(batch_type="unsorted", batch_size=7)
    assert batch_seconds(args, 3.0, 100) == 21.0
    args = options(batch_type="numel", batch_bins=10)
    assert batch_seconds(args, 3.0, 100) == 3.0  # at least one utterance

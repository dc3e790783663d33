# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is solved anew is nearer to the dense model, on data that nobody calibrated on.

On a trained model, it also hears better than after magnitude.
"""

from pathlib import Path

import pytest
import torch

from espnet_prune.data.calibration import find_audio
from espnet_prune.models import load_model
from espnet_prune.select.obs.calibrate import gather
from espnet_prune.select.obs.norms import refitted
from espnet_prune.select.obs.path import RemovalPath
from espnet_prune.select.obs.speech import Heard, Judge, Speech
from espnet_prune.select.obs.statistics import Moments
from espnet_prune.select.scores import by_quantiles
from espnet_prune.units import unit_norms
from espnet_prune.units.norms import open_norm
from test.espnet_prune import encoder_zoo
from test.espnet_prune.select.obs.stubs import Noise, gone, plan_of, sized

SAMPLE = Path(__file__).parents[4] / "egs2" / "an4" / "asr_prune1" / "sample"
VARIANTS = ("latest", "conv1d", "e_branchformer_linear", "branchformer", "wavlm_large")


@pytest.fixture(scope="module", params=VARIANTS)
def path(request):
    """A path of one round, with what it has come to."""
    budget = {"kind": "macs", "sparsity": 0.4, "frames": 200}
    plan = plan_of(encoder_zoo.build(request.param), budget)
    path = gone(plan, Noise(request.param, count=40, seed=1))
    path.found = path.at(sized(path, 0.4))
    path.fresh = Noise(request.param, count=8, seed=2)
    path.seen = gather(plan.model, plan.root, path.readers, path.norms, path.fresh)
    return path


def strip(weights):
    """Return the encoder's tensors of a whole model."""
    prefix = "encoder."
    return {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}


def partly(path):
    """Yield vectors that have lost units, but not all, and which are left."""
    for name, mask in path.found.masks.items():
        if 0 < int(mask.sum()) < len(mask):
            yield name, mask


def tensors(path, layer):
    """Return weight and bias of a layer, dense and as selected; float64."""
    states = path.dense, strip(path.found.weights)
    none = torch.zeros(())
    return [
        state.get(f"{layer}.{kind}", none).double()
        for state in states
        for kind in ("weight", "bias")
    ]


def changed(moments, weight, shift):
    """Return how far outputs move for a change of weights and bias."""
    squares = ((weight @ moments.second(centred=True)) * weight).sum(1)
    return float(
        (moments.fisher * (squares + (weight @ moments.mean() + shift) ** 2)).sum()
    )


def test_layers_are_nearer_to_what_they_were(path):
    """Where noise has no neighbours to tell of it, chance may cost some per cent."""
    shares = []
    for name, mask in partly(path):
        for reader in path.readers.get(name, ()):
            dense, dense_bias, new, bias = tensors(path, reader.layer)
            taps = mask.double().repeat_interleave(reader.group)
            dense, new = dense.flatten(1), new.flatten(1)
            seen = path.seen[reader.layer]
            plain = changed(seen, dense * taps - dense, 0.0)
            shares.append(changed(seen, new * taps - dense, bias - dense_bias) / plain)
    assert len(shares) > 3
    assert max(shares) < 1.1
    assert sum(share < 0.7 for share in shares) > 0.7 * len(shares)


def inputs(path, point):
    """Return what a norm reads of fresh data in the dense model, (rows, C)."""
    rows, model = [], path.plan.model
    handle = model.encoder.get_submodule(point.module).register_forward_hook(
        lambda module, args, out: rows.append(args[0].transpose(point.dim, -1)[0])
    )
    with torch.no_grad():
        for utterance in path.fresh:
            path.fresh.loss(model, utterance)
    handle.remove()
    return torch.cat(rows).double()


def test_norms_are_nearer_to_what_they_were(path):
    found = 0
    for name, mask in partly(path):
        for point in path.norms.get(name, ()):
            is_open, x = mask.bool(), inputs(path, point)
            norm = torch.nn.LayerNorm(len(mask), eps=1e-12).double()
            outputs = []
            dense, dense_bias, new, bias = tensors(path, point.module)
            for weight, shift in ((dense, dense_bias), (new, bias)):
                norm.weight.data, norm.bias.data = weight, shift
                outputs.append(open_norm(norm, x, is_open)[:, is_open])
            norm.weight.data, norm.bias.data = dense, dense_bias
            wanted = norm(x)[:, is_open]
            plain, own = ((out - wanted).square().sum() for out in outputs)
            assert own < plain
            found += 1
    assert found or not path.norms


def test_a_norm_over_the_quieter_half():
    """What goes was louder, so that the norm would make all the rest louder."""
    random = torch.Generator().manual_seed(0)
    scales = torch.cat([torch.full((32,), 0.3), torch.full((32,), 1.5)])
    x = scales * torch.randn(500, 64, generator=random) + 0.5 * scales.flip(0)
    x, is_open = x.double(), torch.arange(64) < 32
    norm = torch.nn.LayerNorm(64).double()
    with torch.no_grad():
        norm.weight.copy_(torch.rand(64, generator=random) + 0.5)
        norm.bias.copy_(torch.randn(64, generator=random))
        wanted, plain = norm(x)[:, :32], open_norm(norm, x, is_open)[:, :32]
        seen = Moments(norm)
        seen.add(norm, x[None])
        new = refitted(norm.weight, norm.bias, seen, is_open.nonzero().squeeze(1))
        norm.weight[:32], norm.bias[:32] = new
        own = open_norm(norm, x, is_open)[:, :32]
    assert (own - wanted).square().sum() < 0.05 * (plain - wanted).square().sum()


def test_a_trained_model_hears_as_before(tmp_path):
    """Six utterances are enough to lose half, and to hear six others."""
    files = [SAMPLE / "model" / name for name in ("config.yaml", "valid.acc.ave.pth")]
    model, config = load_model(*files)
    plan = plan_of(model, {"kind": "params", "sparsity": 0.5}, config)
    entries = find_audio(SAMPLE / "test", config, tmp_path).write(tmp_path)
    speech = Speech(entries, config, labels=True)
    spoken, others = speech.keys[::2], speech.of(speech.keys[1::2])
    judge = Judge(Heard(others, model))
    wave = Speech(entries[:1], config, labels=False, keys=spoken)
    path = RemovalPath(plan)
    path.go(Heard(wave, model), judge, [plan.budget], [0.25])
    dense, norms = judge(model)[0], unit_norms(plan.root, plan.graph)
    for sparsity in (0.3, 0.5):
        budget = sized(path, sparsity)
        found = path.at(budget)
        own = judge(path.model(strip(found.weights), found.masks))[0]
        plain = judge(path.model({}, by_quantiles(norms, plan.graph, budget)))[0]
        print(f"-{sparsity:.0%}: obs {own:.3f}, norms {plain:.3f}, dense {dense:.3f}")
        assert own <= plain and own <= dense + 0.05
    assert own < plain

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Paths of any small encoder or model, calibrated on noise."""

import argparse
import copy

import torch
from torch import nn

from espnet_prune import cost, cut
from espnet_prune.cutting.verify import compare
from espnet_prune.select.budget import loosely_met
from espnet_prune.select.obs.conf import ObsConf
from espnet_prune.select.obs.path import RemovalPath, rounds_to
from espnet_prune.select.obs.speech import Utterance, loss_of
from espnet_prune.select.plan import Plan
from espnet_prune.select.projection import NEAR
from test.espnet_prune import encoder_zoo
from test.espnet_prune.deep import CONFIG

POWERS = (0.0,)
TRANSDUCER = dict(
    CONFIG,
    decoder="transducer",
    decoder_conf=dict(rnn_type="lstm", num_layers=1, hidden_size=12),
    joint_net_conf=dict(joint_space_size=20),
    model_conf=dict(ctc_weight=0.3, report_cer=False, report_wer=False),
)


class Said:
    """Utterances with tokens, whoever has heard them."""

    def __init__(self, tokens, utterances):
        self.tokens, self.utterances = tokens, utterances

    def __len__(self):
        return len(self.utterances)

    def __iter__(self):
        return iter(self.utterances)

    def loss(self, model, utterance):
        return loss_of(model, utterance, self.tokens[utterance.name])


class Around(nn.Module):
    """A model that is an encoder and nothing else."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder


class Noise:
    """Random utterances of an encoder: what is heard is a random direction.

    Args:
        variant: Of the zoo.
        count: Utterances, each of its own length.
        seed: Of what is drawn.
    """

    def __init__(self, variant, count=4, seed=0):
        self.variant, self.seeds = variant, [100 * seed + i for i in range(count)]

    def __len__(self):
        return len(self.seeds)

    def __iter__(self):
        for i, seed in enumerate(self.seeds):
            given = encoder_zoo.inputs(self.variant, 50 + 7 * i, seed=seed)
            x, lengths, *more = given
            x = x if x.dim() == 3 else x[:, None]
            x = 2 * nn.functional.avg_pool1d(x, 5, 1, 2)  # neighbours are alike
            x = x if x.size(1) > 1 else x[:, 0]
            batch = {"x": x, "lengths": lengths, **dict(enumerate(more))}
            yield Utterance(str(seed), batch)

    def loss(self, model, utterance):
        out = model.encoder(*utterance.batch.values())[0]
        out = out[0] if isinstance(out, tuple) else out
        random = torch.Generator().manual_seed(int(utterance.name))
        return (out * torch.randn(out.shape, generator=random)).sum()


class Speech:
    """Random speech for a whole model, which is to say random tokens."""

    def __init__(self, tokens=3, count=3, seed=0):
        self.tokens, self.seeds = tokens, [100 * seed + i for i in range(count)]

    __len__ = Noise.__len__

    def __iter__(self):
        for i, seed in enumerate(self.seeds):
            random = torch.Generator().manual_seed(seed)
            speech = torch.randn(1, 8000 + 1000 * i, generator=random)
            lengths = torch.tensor([speech.size(1)])
            yield Utterance(str(seed), {"speech": speech, "speech_lengths": lengths})

    def loss(self, model, utterance):
        random = torch.Generator().manual_seed(int(utterance.name))
        tokens = torch.randint(2, 6, (self.tokens,), generator=random)
        return loss_of(model, utterance, tokens.tolist())


def judge(model):
    """Judge nothing."""
    return 0.0, 0.0


def plan_of(model, budget, config=CONFIG, **more):
    """Return the plan of a budget for a model, or for an encoder alone."""
    model = Around(model) if hasattr(model, "encoders") else model
    conf = {"method": "obs", "budget": budget, "seed": 0, **more}
    return Plan.of(conf, model.eval(), config, argparse.Namespace(ngpu=0))


def gone(plan, heard, rounds=(), powers=POWERS, judged=judge):
    """Return a path that has gone down in rounds."""
    damping = ObsConf.from_dict(plan.own("obs_conf")).damping
    path = RemovalPath(plan, damping)
    path.before = {name: t.clone() for name, t in path.dense.items()}
    budgets = list(rounds_to(plan.budget, rounds))
    path.told = path.go(heard, judged, budgets, powers)
    return path


def variant_path(variant, sparsity=0.6, rounds=(0.3, 0.45), kind="params", **more):
    """Return the path of an encoder of the zoo."""
    budget = {"kind": kind, "sparsity": sparsity, "frames": 200}
    plan = plan_of(encoder_zoo.build(variant), budget, **more)
    return gone(plan, Noise(variant), rounds)


def sized(path, sparsity):
    """Return the budget of a path at another sparsity."""
    budget = path.plan.budget
    share = sparsity / max(target.sparsity for target in budget)
    return budget.scaled(share)


def cut_by(path, selection):
    """Return what a selection cuts, and how it compares with the masked one."""
    model = copy.deepcopy(path.plan.model)
    model.load_state_dict(selection.weights)
    root = model if path.plan.root is path.plan.model else model.encoder
    small = cut(root, selection.structure, selection.masks)
    return small, compare(root, path.graph, selection.masks, small, trials=2)


def check_path(path, sparsities):
    """Check what every path must do, at some rising sparsities; return selections.

    A round begins with what the one before has left. Within a round few units may come
    back to a smaller size, where another was traded for them to use the budget up.
    """
    readers = [r.layer for some in path.readers.values() for r in some]
    readers += [point.module for points in path.norms.values() for point in points]
    own = tuple(f"{name}.{kind}" for name in readers for kind in ("weight", "bias"))
    prefix = "" if path.plan.root is path.plan.model else "encoder."
    found = []
    for sparsity in sparsities:
        asked = sized(path, sparsity)
        selection = path.at(asked)
        small, report = cut_by(path, selection)
        assert report["equal"], (sparsity, report["relative_diff"])
        structure = selection.structure
        for reached, target in zip(asked.reached(path.graph.dense, structure), asked):
            assert reached >= target.sparsity - 1e-9
        loose = loosely_met(asked, path.graph.dense, structure, path.plan.round_to)
        assert all("fits into the budget" in sentence for sentence in loose)
        numel = sum(p.numel() for p in small.parameters())
        assert numel == cost(structure).params
        for name, tensor in path.dense.items():
            if name not in own:
                assert torch.equal(selection.weights[prefix + name], tensor), name
        start = path.rounds[selection.record["round"] - 1].masks
        larger = found[-1].masks if found else start
        for name, mask in selection.masks.items():
            assert (mask <= start[name]).all(), name
            assert (mask > larger[name]).sum() <= NEAR, name
        found.append(selection)
    return found

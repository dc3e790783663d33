# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest
import torch
import torch.nn.functional as F

from espnet_prune.distill.config import DistillConf
from espnet_prune.distill.losses import (
    hidden_loss,
    logit_kl,
    pairwise_mse,
    valid_mask,
)
from espnet_prune.distill.projections import Projections
from espnet_prune.utils import UserError

LENGTHS = torch.tensor([5, 3])


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pad(x, value, extra=4):
    """Append frames of rubbish."""
    return torch.cat([x, torch.full_like(x[:, :1], value).expand(-1, extra, -1)], 1)


def test_padding_does_not_count():
    student, teacher = random(2, 5, 7), random(2, 5, 7, seed=1)
    mask, wide = valid_mask(LENGTHS, 5), valid_mask(LENGTHS, 9)
    for function in (
        lambda s, t, m: logit_kl(s, t, m, 2.0),
        lambda s, t, m: logit_kl(s, t, m, 1.0, blank_id=0),
        lambda s, t, m: hidden_loss([(s[m], t[m])]),
        lambda s, t, m: hidden_loss([(s[m], t[m])], "l1_cosine"),
    ):
        short = function(student, teacher, mask)
        assert short > 0
        long = function(pad(student, 50.0), pad(teacher, -3.0), wide)
        torch.testing.assert_close(long, short)


def test_equal_inputs_give_zero():
    x, mask = random(2, 5, 7), valid_mask(LENGTHS, 5)
    assert logit_kl(x, x, mask, 2.0) == pytest.approx(0.0, abs=1e-6)
    for distance in ("mse", "l1_cosine"):
        equal = float(hidden_loss([(x[mask], x[mask])], distance))
        assert equal == pytest.approx(0.0, abs=1e-6)
    # a constant shift of the logits is the same distribution
    assert logit_kl(x + 3.0, x, mask, 2.0) == pytest.approx(0.0, abs=1e-5)


def test_kl_agrees_with_torch():
    student, teacher = random(2, 5, 7), random(2, 5, 7, seed=1)
    mask = valid_mask(LENGTHS, 5)
    expected = 4.0 * F.kl_div(
        F.log_softmax(student[mask] / 2.0, -1),
        F.log_softmax(teacher[mask] / 2.0, -1),
        log_target=True,
        reduction="batchmean",
    )
    torch.testing.assert_close(logit_kl(student, teacher, mask, 2.0), expected)


def test_blank_weight_ignores_blank_frames():
    teacher = torch.full((1, 4, 3), -20.0)
    teacher[:, :3, 0] = 20.0  # certain blanks
    teacher[:, 3, 1] = 20.0
    student = random(1, 4, 3)
    mask = torch.ones(1, 4, dtype=torch.bool)
    weighted = logit_kl(student, teacher, mask, 1.0, blank_id=0)
    alone = logit_kl(student[:, 3:], teacher[:, 3:], mask[:, 3:], 1.0)
    torch.testing.assert_close(weighted, alone)


def test_pairwise_mse_equals_direct():
    teacher, student = random(2, 6, 4), random(3, 6, 4, seed=1).requires_grad_()
    distance = pairwise_mse(teacher, student)
    assert not distance.requires_grad
    for i in range(2):
        for j in range(3):
            direct = (teacher[i] - student[j]).square().mean()
            torch.testing.assert_close(distance[i, j], direct.detach())


def test_l1_cosine_adds_both_terms_over_pairs():
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    # mean |a - b| = 1, cosine 0
    assert float(hidden_loss([(a, b)], "l1_cosine")) == pytest.approx(2.0)
    assert float(hidden_loss([(a, b), (a, a)], "l1_cosine")) == pytest.approx(1.0)
    assert float(hidden_loss([(a, -a)], "l1_cosine")) == pytest.approx(1.0 + 2.0)


def test_projections_begin_as_identity_and_leave_no_trace():
    projections = Projections(7)
    x = random(4, 7)
    for name in ("input", "blocks"):
        torch.testing.assert_close(projections(x, name), x)
    holder = torch.nn.ModuleDict({"own": torch.nn.Linear(2, 2), "maps": projections})
    assert set(holder.state_dict()) == {"own.weight", "own.bias"}
    holder.load_state_dict(holder.state_dict(), strict=True)
    assert len(list(holder.parameters())) == 6
    with torch.no_grad():
        projections.blocks_bias.add_(1.0)
    other = Projections(7)
    other.set_state(projections.get_state())
    torch.testing.assert_close(other(x, "blocks"), x + 1.0)
    torch.testing.assert_close(other(x, "input"), x)
    with pytest.raises(UserError, match="another width"):
        Projections(6).set_state(projections.get_state())


@pytest.mark.parametrize(
    "conf, message",
    [
        (dict(w_layr=1.0), "did you mean 'w_layer'"),
        (dict(temperature=0), "temperature"),
        (dict(w_ctc=-1), "w_ctc"),
        (dict(w_ctc="a"), "must be a number"),
        (dict(matching="any"), "nearest_in_order"),
        (dict(layers=[]), "layers"),
        (dict(layers=0), "layers"),
        (dict(distance="l2"), "l1_cosine"),
        (dict(labels=0), "labels is 0, must be true or false"),
        (dict(labels=False, w_layer=0), "w_layer above 0"),
        (dict(projections=True, w_layer=0), "w_layer above 0"),
        (dict(projections=1), "projections is 1, must be true or false or text"),
    ],
)
def test_bad_conf_is_told_in_one_sentence(conf, message):
    with pytest.raises(UserError, match=message):
        DistillConf.from_dict(conf)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A transducer's loss, where warp-transducer is missing, broken, or there."""

import importlib
import logging
import pickle
import sys

import pytest
import torch

from espnet_prune.decoders import rnnt_loss

BROKEN = "raise ImportError('undefined symbol: _ZN2at')"
REAL = "RNNTLoss = 'compiled'"


@pytest.fixture(autouse=True)
def hook(monkeypatch):
    monkeypatch.delitem(sys.modules, rnnt_loss.NAME, raising=False)
    rnnt_loss.install()
    yield
    sys.modules.pop(rnnt_loss.NAME, None)


def expected(logits, labels):
    """Sum over all alignments, by hand; logits (T, U + 1, V)."""
    logp = logits.log_softmax(-1)
    frames, places = logp.shape[:2]
    total = torch.full((frames, places), -torch.inf, dtype=logp.dtype)
    for t in range(frames):
        for u in range(places):
            ways = [torch.zeros(())] if t == u == 0 else []
            if t:
                ways.append(total[t - 1, u] + logp[t - 1, u, 0])
            if u:
                ways.append(total[t, u - 1] + logp[t, u - 1, labels[u - 1]])
            total[t, u] = torch.logsumexp(torch.stack(ways), 0)
    return -(total[-1, -1] + logp[-1, -1, 0])


def test_stand_in_is_the_loss(caplog):
    with caplog.at_level(logging.WARNING):
        loss = importlib.import_module(rnnt_loss.NAME).RNNTLoss(blank=0)
        assert importlib.import_module(rnnt_loss.NAME).RNNTLoss is type(loss)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "not installed" in caplog.text and "RNNTLossNumba" in caplog.text
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 4, 6, requires_grad=True)
    labels, frames = torch.tensor([[1, 4, 2], [3, 5, 0]]), torch.tensor([5, 4])
    lengths = torch.tensor([3, 2])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # numba sets as many as there are cores, for torch too
    try:
        got = loss(logits, labels.int(), frames.int(), lengths.int())
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    rows = zip(logits, labels, frames, lengths)
    want = torch.stack([expected(x[:t, : u + 1], y[:u]) for x, y, t, u in rows]).mean()
    assert torch.allclose(got, want)
    (found,) = torch.autograd.grad(got, logits)
    (wanted,) = torch.autograd.grad(want, logits)
    assert torch.allclose(found, wanted, atol=1e-6)
    half = loss(logits.bfloat16(), labels.int(), frames.int(), lengths.int())
    assert half.dtype == torch.float32
    assert type(pickle.loads(pickle.dumps(loss))) is type(loss)


@pytest.mark.parametrize("content", [BROKEN, REAL])
def test_an_installed_one(content, tmp_path, monkeypatch, caplog):
    (tmp_path / f"{rnnt_loss.NAME}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with caplog.at_level(logging.WARNING):
        found = importlib.import_module(rnnt_loss.NAME).RNNTLoss
    if content == REAL:
        assert found == "compiled" and not caplog.records
    else:
        assert issubclass(found, torch.nn.Module) and "undefined symbol" in caplog.text


def test_installed_once():
    rnnt_loss.install()
    finders = [type(finder).__module__ for finder in sys.meta_path]
    assert finders.count(rnnt_loss.__name__) == 1

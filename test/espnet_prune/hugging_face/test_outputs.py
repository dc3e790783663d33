# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Models that transformers saved say as experiments what they said there."""

from pathlib import Path

import numpy as np
import pytest
import torch

from espnet_prune.hugging_face.experiment import BELOW, as_experiment
from espnet_prune.models import load_model
from espnet_prune.source import find_model
from espnet_prune.utils import read_json, sha256
from test.espnet_prune.hugging_face.waves import waves

HERE = Path(__file__).parent
NAMES = ("wav2vec2", "hubert", "wavlm")
# what ESPnet calls the tokens of special meaning
CALLED = {"[PAD]": "<blank>", "<pad>": "<blank>", "[UNK]": "<unk>", "|": "<space>"}


@pytest.fixture(scope="module", params=NAMES)
def taken(request, tmp_path_factory):
    """Return a directory, its experiment's model and tokens."""
    folder = tmp_path_factory.mktemp(request.param)
    source = find_model(str(HERE / request.param), folder)
    model, config = load_model(*source)
    return HERE / request.param, model, config["token_list"]


@torch.no_grad()
def heard(model, audio):
    """Return log-probabilities (N, T, V) of a padded batch, and lengths (N,)."""
    lengths = torch.tensor([len(wave) for wave in audio])
    batch = torch.zeros(len(audio), int(lengths.max()))
    for row, wave in zip(batch, audio):
        row[: len(wave)] = torch.from_numpy(wave)
    out, lengths = model.encode(batch, lengths)
    return model.ctc.log_softmax(out).numpy(), lengths.numpy()


def rows_of(folder, tokens):
    """Return where each token of the vocabulary is now."""
    vocabulary = read_json(folder / "vocab.json")
    ordered = sorted(vocabulary, key=vocabulary.__getitem__)
    return [tokens.index(CALLED.get(token, token)) for token in ordered]


def assert_same(ours, theirs):
    assert ours.shape == theirs.shape
    assert (np.abs(ours - theirs) / np.abs(theirs).clip(1)).max() < 1e-5


def test_log_probabilities_are_those_of_transformers(taken):
    folder, model, tokens = taken
    rows = rows_of(folder, tokens)
    expected = np.load(folder / "expected.npz")
    for i, wave in enumerate(waves()):
        ours, _ = heard(model, [wave])
        assert_same(ours[0][:, rows], expected[f"alone_{i}"])
        added = [k for k in range(len(tokens)) if k not in rows]
        best = ours[0].max(1, keepdims=True)
        assert (ours[0][:, added] <= best - BELOW + 1e-4).all()
    ours, lengths = heard(model, waves())
    for row, theirs, length in zip(ours, expected["batch"], lengths):
        assert_same(row[:length, rows], theirs[:length])


def best_text(log_probs, tokens):
    """Return the text of the best tokens (T, V), as ESPnet spells it."""
    from espnet2.text.build_tokenizer import build_tokenizer

    best = log_probs.argmax(-1)
    steps = [k for k, before in zip(best, [None, *best]) if k != before and k]
    return build_tokenizer("char").tokens2text([tokens[k] for k in steps])


def test_texts_are_those_of_transformers(taken):
    folder, model, tokens = taken
    expected = np.load(folder / "expected.npz")["texts"]
    assert len(set(expected)) == len(waves())
    for wave, text in zip(waves(), expected):
        ours = best_text(heard(model, [wave])[0][0], tokens).strip()
        assert ours == text.replace("[UNK]", "<unk>")


def test_tokens_are_in_the_order_of_espnet(taken):
    _, _, tokens = taken
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert "<space>" in tokens and len(set(tokens)) == len(tokens)


def test_an_experiment_is_written_once_and_always_the_same(tmp_path):
    first = as_experiment(HERE / "hubert", tmp_path / "a")
    (weights,) = first.glob("*.pth")
    before = weights.stat().st_mtime_ns
    assert as_experiment(HERE / "hubert", tmp_path / "a") == first
    assert weights.stat().st_mtime_ns == before
    again = as_experiment(HERE / "hubert", tmp_path / "b")
    assert sha256(again / weights.name) == sha256(weights)
    assert [path.name for path in (tmp_path / "a").iterdir()] == [first.name]

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Text is what ESPnet's tokenizers make of the same tokens."""

import sys

import pytest

from espnet_prune.runtime import UserError
from espnet_prune.runtime.package import read_package
from espnet_prune.runtime.text import TextMaker
from test.espnet_prune.runtime.tone_model import write_model

LINES = ["the cat sat on the mat", "a cat and a dog", "the dog ran", "on and on"]


def trained_pieces(folder):
    """Write bpe.model, pieces of some words; return what cuts text into them."""
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 20),
        model_prefix=str(folder / "bpe"),
        vocab_size=40,
        model_type="bpe",
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(str(folder / "bpe.model"))


def maker(folder, tokens, **changes):
    """Return what makes text of tokens."""
    write_model(folder, **changes)
    lines = [f"{token} {i}\n" for i, token in enumerate(tokens)]
    (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")
    return TextMaker(read_package(folder))


@pytest.mark.parametrize(
    "kind, tokens",
    [
        ("char", ["<blank>", "A", "<space>", "é", "<noise>", "字"]),
        ("word", ["<blank>", "hello", "wörld", "it's"]),
        ("phn", ["<blank>", "HH", "AH0", "L", "OW1"]),
    ],
)
def test_text_is_that_of_espnet(tmp_path, kind, tokens):
    from espnet2.text.build_tokenizer import build_tokenizer

    text = maker(tmp_path, tokens, token_type=kind)
    ids = [1, 2, 3, 2, 1, *range(1, len(tokens))]
    theirs = build_tokenizer(kind, g2p_type=None)
    assert text(ids) == theirs.tokens2text([tokens[i] for i in ids])
    assert text([]) == "" and text.symbols([1]) == [tokens[1]]


def test_pieces_become_words(tmp_path, monkeypatch):
    pieces = trained_pieces(tmp_path)
    tokens = ["<blank>", *(pieces.id_to_piece(i) for i in range(len(pieces)))]
    conf = {"token_type": "bpe", "bpe_model": "bpe.model"}
    text = maker(tmp_path, tokens, **conf)
    for line in LINES:
        ids = [tokens.index(p) for p in pieces.encode(line, out_type=str)]
        assert text(ids) == line
    (tmp_path / "bpe.model").write_bytes(b"no model")
    with pytest.raises(UserError, match="bpe.model: is no model of sentencepiece"):
        maker(tmp_path, tokens, **conf)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UserError, match="sentencepiece, which is not installed; call"):
        maker(tmp_path, tokens, **conf)
    (tmp_path / "bpe.model").unlink()
    with pytest.raises(UserError, match="bpe.model is missing"):
        maker(tmp_path, tokens, **conf)


def test_other_tokens_are_refused(tmp_path):
    with pytest.raises(UserError, match="token_type is 'whisper_en', must be char, "):
        maker(tmp_path, ["<blank>"], token_type="whisper_en")

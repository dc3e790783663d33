# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)
"""Data stages 1-5 of the recipes on a corpus of noise."""

from pathlib import Path

import pytest

from test.egs2.noise_corpus import TEXTS, keys, make_corpus, run


@pytest.fixture
def corpus(tmp_path):
    return make_corpus(tmp_path / "corpus")


def test_all_stages_with_speed_perturbation(corpus, tmp_path):
    done = run(
        tmp_path,
        *("--stage", 1, "--stop_stage", 5, "--data_dir", corpus),
        *("--test_sets", "dev test", "--speed_perturb_factors", "0.9 1.0 1.1"),
        *("--token_type", "char", "--max_wav_duration", 1.3),
    )
    assert done.returncode == 0, done.stderr
    raw = tmp_path / "dump" / "raw"
    org = dict(
        line.split()
        for line in (raw / "org/train_sp/utt2num_samples").read_text().splitlines()
    )
    assert len(org) == 3 * len(TEXTS)
    assert org["train0"] == "16000"
    assert abs(int(org["sp0.9-train0"]) - 16000 / 0.9) <= 1
    assert abs(int(org["sp1.1-train0"]) - 16000 / 1.1) <= 1
    # 18400 samples at speed 0.9 are 1.28 s: kept; nothing else is longer
    assert len(keys(raw / "train_sp/text")) == 12
    assert keys(raw / "test/spk2utt") == ["testspk0", "testspk1"]
    for line in (raw / "train_sp/wav.scp").read_text().splitlines():
        assert Path(line.split()[1]).is_absolute() and Path(line.split()[1]).is_file()
    tokens = (tmp_path / "data/token_list/char/tokens.txt").read_text().split()
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert set("".join(TEXTS).replace(" ", "")) | {"<space>"} == set(tokens[2:-1])


def test_filter_drops_long_utterances(corpus, tmp_path):
    done = run(
        tmp_path,
        *("--stage", 1, "--stop_stage", 4, "--data_dir", corpus),
        *("--max_wav_duration", 1.07),
    )
    assert done.returncode == 0, done.stderr
    assert keys(tmp_path / "dump/raw/train/wav.scp") == ["train0", "train1"]
    assert len(keys(tmp_path / "dump/raw/org/train/wav.scp")) == len(TEXTS)
    assert len(keys(tmp_path / "dump/raw/test/wav.scp")) == len(TEXTS)


def test_bpe_model_and_list_agree(corpus, tmp_path):
    spm = pytest.importorskip("sentencepiece")
    done = run(
        tmp_path,
        *("--stage", 1, "--stop_stage", 5, "--data_dir", corpus),
        *("--token_type", "bpe", "--nbpe", 22),
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "data/token_list/bpe_unigram22"
    tokens = (folder / "tokens.txt").read_text().split()
    model = spm.SentencePieceProcessor(model_file=str(folder / "bpe.model"))
    assert len(tokens) == 22  # minus <s>, </s>; plus <blank>, <sos/eos>
    assert set(model.encode("ONE TWO SIX", out_type=str)) <= set(tokens)


@pytest.mark.parametrize("token_type", ["char", "bpe", "word"])
def test_intents_are_one_token(corpus, tmp_path, token_type):
    """As ESPnet's training splits a text, and its decoding joins it again."""
    build = pytest.importorskip("espnet2.text.build_tokenizer").build_tokenizer
    intents = ["iot_on", "iot_off", "date_tell", "iot_dim"]
    for name in ("train", "dev", "test"):
        path = corpus / name / "text"
        lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
        text = [f"{u} {intent} {t}" for (u, t), intent in zip(lines, intents)]
        path.write_text("\n".join(text) + "\n")
    symbols = tmp_path / "intents.txt"
    symbols.write_text("\n".join(sorted(intents)) + "\n")
    done = run(
        tmp_path,
        *("--stage", 1, "--stop_stage", 5, "--data_dir", corpus),
        *("--token_type", token_type, "--nbpe", 24, "--nlsyms_txt", symbols),
    )
    assert done.returncode == 0, done.stderr
    kind = "bpe_unigram24" if token_type == "bpe" else token_type
    folder = tmp_path / "data/token_list" / kind
    tokens = (folder / "tokens.txt").read_text().split()
    assert set(intents) <= set(tokens) and len(set(tokens)) == len(tokens)
    if token_type == "word":
        assert set(tokens) - set(intents) >= set(" ".join(TEXTS).split())
    else:  # no piece of an intent is a token
        rest = set(tokens[2:-1]) - {*intents, "<space>"}
        assert not set("".join(intents)) & set("".join(rest))
    model = str(folder / "bpe.model") if token_type == "bpe" else None
    split = build(token_type, bpemodel=model, non_linguistic_symbols=symbols)
    join = build(token_type, bpemodel=model)
    for intent, words in zip(intents, TEXTS):
        found = split.text2tokens(f"{intent} {words}")
        assert found.count(intent) == 1 and set(found) <= set(tokens)
        assert found[0 if token_type != "bpe" else 1] == intent
        assert join.tokens2text(found) == f"{intent} {words}"


@pytest.mark.parametrize(
    "damage, said",
    [
        ("audio", ("wav.scp", "'test2'", "missing")),
        ("text", ("text", "'dev1'", "empty")),
        ("no_line", ("text", "'train3'", "no line")),
        ("pipe", ("wav.scp", "'train0'", "pipe")),
        ("ark", ("wav.scp", "'train0'", "ark")),
        ("speaker", ("utt2spk", "'train0'", "not one word")),
    ],
)
def test_bad_input_is_one_sentence_before_any_work(corpus, tmp_path, damage, said):
    if damage == "audio":
        (corpus / "audio/test2.flac").unlink()
    elif damage == "text":
        path = corpus / "dev/text"
        path.write_text(path.read_text().replace("dev1 THREE FOUR FIVE", "dev1 "))
    elif damage == "no_line":
        path = corpus / "train/text"
        path.write_text("".join(path.read_text().splitlines(True)[:-1]))
    else:
        name = "utt2spk" if damage == "speaker" else "wav.scp"
        value = {"pipe": "cat x |", "ark": "audio/train0.flac:7"}.get(damage, "a b")
        lines = (corpus / "train" / name).read_text().splitlines()
        lines[0] = f"train0 {value}"
        (corpus / "train" / name).write_text("\n".join(lines))
    done = run(tmp_path, "--stage", 1, "--stop_stage", 5, "--data_dir", corpus)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    for word in said:
        assert word in done.stderr
    assert not (tmp_path / "data").exists() and not (tmp_path / "dump").exists()

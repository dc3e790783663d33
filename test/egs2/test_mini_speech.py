# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The synthetic corpus: what is said, who says it, and the same bytes every time."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

LOCAL = Path(__file__).parents[2] / "egs2" / "mini_speech" / "asr_prune1" / "local"


@pytest.fixture
def local(monkeypatch):
    """Import from the recipe's local/ without leaving a trace."""
    monkeypatch.syspath_prepend(str(LOCAL))
    yield
    for name in ("data", "grammar", "synth", "voices", "espeak_server"):
        sys.modules.pop(name, None)


def make(folder, *options):
    sizes = ["--train_utts", "1", "--dev_utts", "1", "--test_utts", "2"]
    done = subprocess.run(
        [sys.executable, str(LOCAL / "data.py"), "--data_dir", str(folder)]
        + [*sizes, *options],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def digest(folder):
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.flac")):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def test_grammar(local):
    import grammar

    assert 60 <= len(grammar.vocabulary()) <= 100
    taken = set()
    first = grammar.sentences(np.random.default_rng(0), 500, taken)
    second = grammar.sentences(np.random.default_rng(1), 500, taken)
    assert len(set(first + second)) == 1000  # no sentence twice in the corpus
    assert all(2 <= len(line.split()) <= 8 for line in first)
    again = grammar.sentences(np.random.default_rng(0), 500, set())
    assert again == first


def test_intents_follow_from_the_sentence(local):
    import grammar

    # one for every template, in their order
    expected = (
        "code_tell code_tell call_number date_tell date_tell date_tell date_tell "
        "origin_tell number_tell number_tell device_off|device_on device_off|device_on "
        "device_off|device_on alarm_set alarm_set travel_ticket travel_ticket "
        "travel_ticket travel_go device_off call_city"
    ).split()
    assert len(expected) == len(grammar.TEMPLATES)
    rng, seen = np.random.default_rng(0), set()
    for template, names in zip(grammar.TEMPLATES, expected):
        classes = {item for item in template.split() if item.startswith("<")}
        found = set()
        for item in classes:  # every word of every class
            for word in grammar.CLASSES[item[1:-1]].split():
                sentence = grammar.fill(template.replace(item, word), rng)
                found.add(grammar.intent(sentence))
        assert found == set(names.split("|")), template
        seen |= found
    assert seen == set(grammar.INTENTS.values()) and len(seen) == 11
    assert not seen & grammar.vocabulary()
    for sentence, name in (
        ("TURN THE FAN ON AT SIX TEN", "device_on"),
        ("TURN OFF THE RADIO AT ONE", "device_off"),
        ("PLAY THE RADIO AT TEN", "device_on"),
        ("STOP THE LIGHT ON MONDAY", "device_off"),
    ):
        assert grammar.intent(sentence) == name
    with pytest.raises(grammar.UserError, match="'SING' is no sentence"):
        grammar.intent("SING")


def test_speakers_are_disjoint_and_twins_stay_together(local):
    import voices

    splits = {name: voices.speakers(name) for name in voices.VARIANTS}
    people = [who.name for speakers in splits.values() for who in speakers]
    assert len(people) == len(set(people)) and len(splits["train"]) >= 10
    side = {who.variant: name for name, found in splits.items() for who in found}
    assert len(side) == sum(len(names.split()) for names in voices.VARIANTS.values())
    for group in voices.TWINS:
        assert len({side[v] for v in group if v in side}) <= 1, group


def test_the_large_set_shares_nothing_with_the_others(local):
    import data

    sizes = {"test": 22, "dev": 20, "train": 11}
    three = data.plan(0, sizes)
    four = data.plan(0, {**sizes, "test_large": 100})
    large = four.pop("test_large")
    assert four == three and len(large) == 2000
    assert len({utt.speaker for utt in large}) == 20  # of whom intervals are drawn
    for utterances in three.values():
        for what in ("name", "text"):
            own, other = ({getattr(u, what) for u in s} for s in (large, utterances))
            assert len(own) == 2000 and not own & other, what
        variants = {utt.speaker.variant for utt in utterances}
        assert not variants & {utt.speaker.variant for utt in large}


def test_the_large_set_is_made_when_it_is_asked_for(tmp_path, local):
    pytest.importorskip("espeakng_loader", reason="espeakng-loader makes the speech")
    make(tmp_path / "a")
    before = digest(tmp_path / "a")
    assert not (tmp_path / "a/test_large").exists()
    large = ("--test_sets", "test test_large", "--test_large_utts", "1")
    said = make(tmp_path / "a", *large)
    assert "train: finished before" in said and "20 utterances" in said
    lines = (tmp_path / "a/test_large/utt2spk").read_text().splitlines()
    assert len({line.split()[1] for line in lines}) == len(lines) == 20
    make(tmp_path / "b", *large)  # at once: the same bytes
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != before
    assert "test_large: finished before" in make(tmp_path / "b", *large)


def test_same_seed_same_bytes(tmp_path, local):
    from grammar import INTENTS

    pytest.importorskip("espeakng_loader", reason="espeakng-loader makes the speech")
    make(tmp_path / "a")
    make(tmp_path / "b")
    make(tmp_path / "c", "--seed", "1")
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")
    for name in ("wav.scp", "text", "utt2spk", "spk2utt"):
        assert (tmp_path / "a" / "train" / name).stat().st_size > 0
    make(tmp_path / "d", "--intents", "true")  # other text, and nothing else
    texts = [(tmp_path / n / "test/text").read_text().splitlines() for n in "ad"]
    for plain, slu in zip(*texts):
        name, intent, rest = slu.split(" ", 2)
        assert plain == f"{name} {rest}" and intent in INTENTS.values()
    assert digest(tmp_path / "a") == digest(tmp_path / "d")
    for name in ("wav.scp", "utt2spk", "spk2utt", "utt2dur"):
        files = [(tmp_path / n / "test" / name).read_bytes() for n in "ad"]
        assert files[0] == files[1], name
    facts = json.loads((tmp_path / "a/test/mini_speech.json").read_text())
    assert sorted(facts["fingerprint"]) == ["plan", "seed", "snr", "version"]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "a").rglob("*.flac")}
    make(tmp_path / "a")  # a finished corpus is recognised
    assert before == {p: p.stat().st_mtime_ns for p in before}

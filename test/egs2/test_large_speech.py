# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The larger synthetic corpus: open words, many voices, noise, the same bytes."""

import sys
from pathlib import Path

import numpy as np
import pytest

from espnet_prune.utils import UserError
from test.egs2.test_mini_speech import digest

LOCAL = Path(__file__).parents[2] / "egs2" / "large_speech" / "asr_prune1" / "local"
MADE = "data sentences lexicon people rooms splits synth voices espeak_server".split()


@pytest.fixture
def local(monkeypatch):
    """Import from the recipe's local/ without leaving a trace; short babble."""
    monkeypatch.syspath_prepend(str(LOCAL))
    import rooms

    monkeypatch.setattr(rooms, "BABBLE", 2.0)
    yield
    for name in MADE:
        sys.modules.pop(name, None)


@pytest.fixture
def few(local, monkeypatch):
    """A corpus of some voices: two train, one is for dev and two speakers for test."""
    pytest.importorskip("espeakng_loader", reason="espeakng-loader makes the speech")
    import data
    import people

    voices = {"train": ["m1"], "dev": ["m6"], "test": ["Denis"]}
    monkeypatch.setattr(people, "VARIANTS", voices)
    monkeypatch.setattr(people, "TURNS", {"train": 2, "dev": 1, "test": 2})
    monkeypatch.setattr(data, "TRACKS", 1)

    def make(folder, *options):
        sizes = ["--train_utts", "3", "--dev_utts", "1", "--test_utts", "1"]
        words = ["data.py", "--data_dir", str(folder), *sizes, *options]
        monkeypatch.setattr(sys, "argv", words)
        data.main()

    return make


def test_sentences_of_an_open_vocabulary(local):
    import sentences

    grammar, taken = sentences.Grammar(0), set()
    train = grammar.sentences(np.random.default_rng(0), 3000, taken)
    test = grammar.sentences(np.random.default_rng(1), 300, taken)
    assert len(taken) == 3300
    assert all(3 <= len(line.split()) <= 25 for line in taken)
    known = {word for line in train for word in line.split()}
    words = [word for line in test for word in line.split()]
    assert 0.05 < np.mean([word not in known for word in words]) < 0.2
    assert (
        sentences.Grammar(0).sentences(np.random.default_rng(0), 3000, set()) == train
    )
    other = set(sentences.known_names(1))
    assert len(other) == 200 and not other & set(grammar.words["known"][:3])
    for form, pairs in {
        sentences.plural: "SHIP SHIPS TORCH TORCHES VALLEY VALLEYS DAISY DAISIES",
        sentences.past: "LIFT LIFTED BAKE BAKED CARRY CARRIED ENJOY ENJOYED",
        sentences.participle: "LIFT LIFTING BAKE BAKING CARRY CARRYING",
        sentences.adverb: "QUICK QUICKLY HAPPY HAPPILY GENTLE GENTLY FULL FULLY",
    }.items():
        found = pairs.split()
        assert [form(word) for word in found[::2]] == found[1::2]


def test_two_thousand_utterances_by_voices_that_no_other_set_has(local):
    import data
    import people
    import voices

    splits = {name: people.people(name) for name in people.VARIANTS}
    names = [who.name for found in splits.values() for who in found]
    assert len(names) == len(set(names)) > 180 and len(splits["test"]) == 40
    assert len({(who.accent, who.stretch) for who in splits["train"]}) > 20
    side = {v: name for name, found in people.VARIANTS.items() for v in found}
    assert len(side) == sum(map(len, people.VARIANTS.values()))
    for group in voices.TWINS:
        assert len({side[v] for v in group if v in side}) <= 1, group
    plan = data.plan(0, {"test": data.SPLITS["test"]})
    assert len({utt.text for utt in plan["test"]}) == 2000
    # other numbers of what was chosen later change nothing
    more = data.plan(0, {"test": data.SPLITS["test"], "dev": 2})
    assert more["test"] == plan["test"]


def test_rooms_and_noise(local):
    import rooms

    rng = np.random.default_rng(0)
    speech = np.zeros(16000)
    speech[4000:8000] = rng.normal(size=4000)
    heard = rooms.room(speech, rng)
    assert rooms.level(heard) == pytest.approx(rooms.level(speech))
    assert np.abs(heard[:3999]).max() < 1e-9  # nothing before it is said
    late, later = (rooms.level(heard[n : n + 800]) for n in (8000, 9600))
    assert 0.01 < late < 1 and later < late / 3
    power = np.abs(np.fft.rfft(rooms.pink(1 << 16, rng))) ** 2
    octaves = [power[n : 2 * n].mean() for n in (1000, 2000, 4000, 8000)]
    assert np.diff(10 * np.log10(octaves)) == pytest.approx([-3.0] * 3, abs=0.5)
    track = np.arange(5.0)
    assert set(np.diff(rooms.piece(track, 12, rng))) == {1.0, -4.0}
    for babble in ([], [rng.normal(size=100)]):
        assert rooms.level(rooms.noise(50, babble, rng)) == pytest.approx(1)


def test_the_noise_is_as_loud_as_it_should_be(few, monkeypatch):
    import data
    import people
    from synth import Synthesiser

    plan = data.plan(0, {"dev": 3})["dev"]
    splits_of = {who.name: "dev" for who in people.people("dev")}
    found = []
    with Synthesiser() as synthesiser:
        for snr in (300.0, 10.0):  # the same but for it
            render = data.Renderer(0, [snr, snr], splits_of)
            made = [render(synthesiser, utt) for utt in plan]
            found.append([samples.astype(float) for samples in made])
    for clean, noisy in zip(*found):
        said = clean[np.abs(clean) > 0]  # pauses do not count
        power = np.mean(said**2) / np.mean((noisy - clean) ** 2)
        assert 10 * np.log10(power) == pytest.approx(10, abs=1)


def test_same_seed_same_bytes_and_an_interrupted_split_goes_on(
    few, tmp_path, monkeypatch
):
    import data

    few(tmp_path / "a")
    few(tmp_path / "c", "--seed", "1")
    made, render = [], data.Renderer.__call__

    def dies(self, synthesiser, utt):
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(utt.name)
        return render(self, synthesiser, utt)

    monkeypatch.setattr(data.Renderer, "__call__", dies)
    with pytest.raises(KeyboardInterrupt):
        few(tmp_path / "b")
    assert not (tmp_path / "b/train").exists()
    first, made[:] = list(made), []

    def goes_on(self, synthesiser, utt):
        made.append(utt.name)
        return render(self, synthesiser, utt)

    monkeypatch.setattr(data.Renderer, "__call__", goes_on)
    few(tmp_path / "b")
    assert len(first) == 5 and len(made) == 4 and not set(made) & set(first)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")
    for name in ("wav.scp", "text", "utt2spk", "utt2dur", "large_speech.json"):
        assert (tmp_path / "a/train" / name).read_bytes() == (
            tmp_path / "b/train" / name
        ).read_bytes()
    few(tmp_path / "b", "--real_dir", str(tmp_path / "a"))
    assert len(made) == 4  # a finished corpus is recognised
    real = (tmp_path / "b/real/wav.scp").read_text().splitlines()
    assert len(real) == 9 and all(Path(line.split()[1]).is_file() for line in real)
    with pytest.raises(UserError, match="--real_dir .* no SET/wav.scp is there"):
        few(tmp_path / "b", "--real_dir", str(tmp_path))

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import json
import random
import subprocess
import sys

import numpy as np
import pytest

from espnet_prune.bin import score
from espnet_prune.report.bootstrap import interval, paired
from espnet_prune.report.counts import (
    Counts,
    align,
    count_jiwer,
    count_sclite,
    percent,
    sclite_command,
    write_trn,
)
from espnet_prune.report.scoring import score_set, tokenizers
from espnet_prune.utils import UserError


def random_pairs(number):
    """Token lists that are hard to align: few types, many errors."""
    rng = random.Random(0)
    pairs = []
    for _ in range(number):
        types = "abcd"[: rng.choice([2, 3, 4])]
        sizes = rng.randint(1, 12), rng.randint(0, 12)
        pairs.append(tuple([rng.choice(types) for _ in range(n)] for n in sizes))
    return [list(side) for side in zip(*pairs)]


@pytest.mark.parametrize(
    "ref, hyp, expected",
    [
        ("a b c", "a b c", (3, 0, 0, 0)),
        ("a b c", "a x c d", (2, 1, 0, 1)),
        ("a b c", "", (0, 0, 3, 0)),
        ("", "a", (0, 0, 0, 1)),
        # fewest errors: 5 either way, sclite takes the one with fewer corrects
        ("c a c b b c a", "a b a a a c c a b", (3, 4, 0, 2)),
    ],
)
def test_counts_of_known_pairs(ref, hyp, expected):
    assert align(ref.split(), hyp.split()) == Counts(*expected)
    assert count_jiwer([ref.split()], [hyp.split()]) == [Counts(*expected)]


def test_jiwer_counts_are_those_of_sclites_costs():
    refs, hyps = random_pairs(500)
    assert count_jiwer(refs, hyps) == [align(r, h) for r, h in zip(refs, hyps)]


def test_counts_are_those_of_sclite(tmp_path):
    if sclite_command() is None:
        pytest.skip("sclite is not installed")
    refs, hyps = random_pairs(500)
    labels = [f"s-u{i}" for i in range(len(refs))]
    write_trn(tmp_path / "ref.trn", labels, refs)
    write_trn(tmp_path / "hyp.trn", labels, hyps)
    found = count_sclite(tmp_path / "ref.trn", tmp_path / "hyp.trn", tmp_path / "r")
    assert [found[label] for label in labels] == count_jiwer(refs, hyps)


def test_percentages_round_halves_up():
    assert percent(3982, 4000) == "99.6"  # 99.55
    assert percent(0, 0) == "0.0"
    assert percent(1, 3) == "33.3"


def write_corpus(root, texts):
    for name, lines in texts.items():
        (root / name).mkdir(parents=True)
        (root / name / "text").write_text("".join(f"{x}\n" for x in lines))


@pytest.fixture
def corpus(tmp_path):
    write_corpus(tmp_path / "ref", {"dev": ["u1 A B", "u2 C"], "test": ["v1 A C"]})
    write_corpus(tmp_path / "hyp", {"dev": ["u1 a B", "u2"], "test": ["v1 A B C"]})
    return tmp_path


def test_score_command(corpus, capsys):
    score.main(
        f"--ref {corpus}/ref --hyp {corpus}/hyp --bootstrap 100 --backend jiwer "
        f"--against {corpus}/ref --sets".split() + ["dev test"]
    )
    out = capsys.readouterr().out
    # corrects, substitutions, deletions, insertions, errors, wrong sentences
    assert "|hyp/dev|2|3|66.7|0.0|33.3|0.0|33.3|50.0|" in out
    assert "|hyp/dev+test|3|5|80.0|0.0|20.0|20.0|40.0|66.7|" in out
    result = json.loads((corpus / "hyp" / "score.json").read_text())
    wer = result["sets"]["test"]["wer"]
    assert (wer["ins"], wer["rate"]) == (1, 50.0)
    assert wer["against"]["difference"] == 50.0
    assert result["sets"]["test"]["cer"]["wrd"] == 3  # the blank counts
    assert "Sum/Avg" in (corpus / "hyp/dev/score_wer/result.txt").read_text()


def test_score_tells_what_is_wrong(corpus):
    def fails(ref, hyp):
        with pytest.raises(UserError) as error:
            score_set(ref, hyp, tokenizers(), corpus / "out", "jiwer")
        return str(error.value)

    assert "no such file" in fails(corpus / "ref/dev/text", corpus / "nothing")
    assert "'u1'" in fails(corpus / "ref/dev/text", corpus / "hyp/test/text")
    (corpus / "twice").write_text("u1 A\nu2 C\nu1 B\n")
    assert "line 3: 'u1' is there twice" in fails(corpus / "twice", corpus / "twice")
    (corpus / "empty").write_text("")
    assert "is empty" in fails(corpus / "empty", corpus / "hyp/dev/text")


def test_the_whole_set_is_scored_where_training_has_left_out_some(corpus, capsys):
    write_corpus(corpus / "ref/org", {"dev": ["u0 X Y Z", "u1 A B", "u2 C"]})
    (corpus / "ref/org/dev/wav.scp").touch()
    given = f"--ref {corpus}/ref --hyp {corpus}/hyp --bootstrap 0 --sets dev".split()
    with pytest.raises(UserError, match="hyp/dev/text: 1 utterances .* 'u0'"):
        score.main(given)
    (corpus / "hyp/dev/text").write_text("u0 X Y Z\nu1 A B\nu2 C\n")
    score.main(given)
    assert "|hyp/dev|3|6|100.0|" in capsys.readouterr().out


def test_intervals_are_drawn_by_speaker_where_there_are_several(corpus, capsys):
    """One speaker is understood, the other never: by utterance that is not seen."""
    lines = [f"{s}{i} A" for s in "gb" for i in range(9)]
    spk = [f"{s}{i} {s}" for s in "gb" for i in range(9)]
    hyp = [x.replace("A", "B") if x.startswith("b") else x for x in lines]
    for name, content in (("ref", lines), ("hyp", hyp)):
        (corpus / name / "dev/text").write_text("\n".join(content) + "\n")
    path = corpus / "ref/dev/utt2spk"
    path.write_text("\n".join(spk) + "\n")

    def wer(*options):
        given = f"--ref {corpus}/ref --hyp {corpus}/hyp --bootstrap 400".split()
        score.main([*given, "--sets", "dev test", *options])
        summary = json.loads((corpus / "hyp" / "score.json").read_text())
        return summary["sets"]["dev"]["wer"], capsys.readouterr().out

    found, out = wer()
    assert (found["interval"], found["drawn"]) == ([0.0, 100.0], "2 speakers")
    assert "|hyp/dev|WER|50.00|0.00 - 100.00|2 speakers|" in out
    assert "from 2 speakers is itself uncertain" in out
    assert out.index("|hyp/test|") < out.index("|hyp/dev|") < out.index("|hyp/dev+")
    found, out = wer("--bootstrap_by", "utterance")
    low, high = found["interval"]
    assert found["drawn"] == "18 utterances" and 20 < low < high < 80
    assert "says nothing about other speakers" in out
    path.write_text("\n".join(x.split()[0] + " one" for x in spk) + "\n")
    assert wer()[0]["drawn"] == "18 utterances"  # of one speaker nothing can be drawn


def test_score_exits_with_2(corpus):
    done = subprocess.run(
        [sys.executable, "-m", "espnet_prune.bin.score", "--ref", corpus / "none"]
        + ["--hyp", corpus / "hyp/dev/text"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("espnet_prune: error: ")
    assert done.stderr.count("\n") == 1


def test_bootstrap_interval_is_that_of_the_binomial():
    rng = np.random.default_rng(0)
    errors = (rng.random(2000) < 0.1).astype(int)
    low, high = interval(errors, np.ones(2000, int), samples=4000)
    rate = 100 * errors.mean()
    half = 1.96 * 100 * np.sqrt(errors.mean() * (1 - errors.mean()) / 2000)
    assert low == pytest.approx(rate - half, abs=0.15)
    assert high == pytest.approx(rate + half, abs=0.15)
    assert interval(errors, np.ones(2000, int), samples=4000) == (low, high)


def test_bootstrap_by_group_is_wider_when_groups_differ():
    errors = [0] * 50 + [1] * 50
    words, groups = [1] * 100, ["a"] * 50 + ["b"] * 50
    low, high = interval(errors, words, samples=500)
    assert interval(errors, words, groups, samples=500) == (0.0, 100.0)
    assert 30 < low < high < 70


def test_paired_bootstrap():
    words = [10] * 200
    errors = [1, 2] * 100
    same = paired(errors, errors, words, samples=500)
    assert same["difference"] == 0 and same["better"] == 0.5
    worse = paired([e + 1 for e in errors], errors, words, samples=500)
    assert worse["difference"] == pytest.approx(10.0)
    assert worse["interval"] == pytest.approx([10.0, 10.0])
    assert worse["better"] == 0.0


@pytest.fixture
def slu(tmp_path):
    """Four commands: right, intent only, another intent, nothing at all."""
    ref = ["u1 on TURN ON", "u2 on START", "u3 off STOP IT", "u4 alarm SET"]
    hyp = ["u1 on TURN OF", "u2 on", "u3 Off STOP IT NOW", "u4"]
    write_corpus(tmp_path / "ref", {"dev": ref[:2], "test": ref[2:]})
    write_corpus(tmp_path / "hyp", {"dev": hyp[:2], "test": hyp[2:]})
    return tmp_path


def score_slu(slu, capsys, *options):
    score.main(
        f"--ref {slu}/ref --hyp {slu}/hyp --use_intent --bootstrap 200".split()
        + ["--sets", "dev test", *options]
    )
    result = json.loads((slu / "hyp" / "score.json").read_text())
    return capsys.readouterr().out, result["sets"]


def test_intents_and_the_words_after_them(slu, capsys):
    out, sets = score_slu(slu, capsys)
    assert list(sets["dev"]) == ["intent", "wer", "cer"]
    both = sets["dev+test"]["intent"]
    assert (both["rate"], both["corr"], both["sub"], both["del"]) == (50.0, 2, 1, 1)
    low, high = both["interval"]
    assert 0.0 <= low < 50.0 < high <= 100.0
    assert sets["dev"]["intent"]["interval"] == [100.0, 100.0]
    # TURN ON, START, STOP IT, SET against TURN OF, nothing, STOP IT NOW, nothing
    wer = sets["dev+test"]["wer"]
    assert (wer["wrd"], wer["sub"], wer["del"], wer["ins"]) == (6, 1, 2, 1)
    assert "|hyp/dev|2|100.0|" in out and "|hyp/dev+test|4|50.0|" in out
    assert "|hyp/dev+test|intent accuracy|50.00|" in out
    wrong = (slu / "hyp/test/score_intent/result.txt").read_text()
    assert wrong.startswith("0 of 2 intents are right\n")
    assert "id: (u4-u4)\nREF:  alarm\nHYP:  \n" in wrong


def test_the_difference_of_intents_is_one_of_accuracies(slu, capsys):
    _, sets = score_slu(slu, capsys, "--against", str(slu / "ref"))
    against = sets["dev+test"]["intent"]["against"]
    assert against["difference"] == -50.0
    assert against["better"] < 0.1  # two errors against none
    assert sets["dev+test"]["wer"]["against"]["difference"] > 0


@pytest.mark.parametrize("backend", ["jiwer", "sclite"])
def test_texts_of_an_intent_and_nothing_else(tmp_path, capsys, backend):
    if backend == "sclite" and sclite_command() is None:
        pytest.skip("sclite is not installed")
    write_corpus(tmp_path / "ref", {"dev": ["u1 on"], "test": ["v1 off"]})
    write_corpus(tmp_path / "hyp", {"dev": ["u1 on"], "test": ["v1 on OFF"]})
    _, sets = score_slu(tmp_path, capsys, "--backend", backend)
    assert sets["dev+test"]["intent"]["rate"] == 50.0
    assert sets["dev"]["wer"]["rate"] == 0.0
    assert (sets["test"]["wer"]["wrd"], sets["test"]["wer"]["ins"]) == (0, 1)

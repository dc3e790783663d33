# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)
"""Data stages: segments, copies at other speeds, odd ids, and what is left out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_prune.bin import data_prep
from test.egs2.noise_corpus import TEXTS, keys, make_corpus, run


@pytest.fixture
def corpus(tmp_path):
    return make_corpus(tmp_path / "corpus")


def test_audio_that_breaks_off_is_found_in_stage_3(corpus, tmp_path):
    path = corpus / "audio/test1.flac"
    path.write_bytes(path.read_bytes()[:9000])
    done = run(tmp_path, "--stage", 1, "--stop_stage", 3, "--data_dir", corpus)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "test/wav.scp: utterance 'test1' cannot be read" in done.stderr


def test_what_is_decoded_stays_whole(corpus, tmp_path):
    """dev chooses epochs and is scored: only training's copy is filtered."""
    path = corpus / "dev/text"
    path.write_text(path.read_text().replace("dev1 THREE FOUR FIVE", "dev1"))
    done = run(
        tmp_path,
        *("--stage", 1, "--stop_stage", 4, "--data_dir", corpus),
        *("--test_sets", "dev test", "--max_wav_duration", 1.12),
    )
    assert done.returncode == 0, done.stderr
    assert "dev: 2 utterances dropped from training" in done.stderr
    raw = tmp_path / "dump/raw"
    assert keys(raw / "dev/text") == ["dev0", "dev1", "dev2", "dev3"]
    assert (raw / "dev/text").read_text().splitlines()[1] == "dev1"
    assert keys(raw / "filtered/dev/wav.scp") == ["dev0", "dev2"]
    assert keys(raw / "train/text") == ["train0", "train1", "train2"]


def samples(path):
    lines = (line.split() for line in path.read_text().splitlines())
    return {key: int(number) for key, number in lines}


@pytest.mark.parametrize("factors", ["", "0.5 1.0"])
def test_segments_are_cut(corpus, tmp_path, factors):
    """Two utterances of each recording, whose ids are its own."""
    for name in ("train", "dev", "test"):
        lines = {"segments": [], "text": []}
        for i, words in enumerate(TEXTS):
            for k, times in (("a", "0 0.25"), ("b", "0.5\t-1")):
                lines["segments"].append(f"{k}/{name}{i}\t{name}{i} {times}")
                lines["text"].append(f"{k}/{name}{i} {words}")
        for file, content in lines.items():
            (corpus / name / file).write_text("\n".join(content) + "\n")
        (corpus / name / "utt2spk").unlink()
    options = ("--stage", 1, "--stop_stage", 4, "--data_dir", corpus)
    options += ("--speed_perturb_factors", factors)
    done = run(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    raw = tmp_path / "dump/raw"
    found = samples(raw / "test/utt2num_samples")
    assert found["a/test1"] == 4000 and found["b/test1"] == 16800 - 8000
    train = samples(raw / ("train_sp" if factors else "train") / "utt2num_samples")
    assert train["b/train0"] == 8000 and len(train) == 8 * (len(factors.split()) or 1)
    if factors:
        assert train["sp0.5-a/train0"] == 8000
    scp = (raw / "test/wav.scp").read_text().split()
    source = soundfile.read(corpus / "audio/test0.flac")[0]
    assert np.array_equal(soundfile.read(scp[1])[0], source[:4000])
    # called again, a copy that nobody uses is removed, and no other
    files = sorted(tmp_path.glob("dump/audio_*/**/*.flac"))
    (corpus / "test/segments").unlink()
    for file in ("wav.scp", "text"):
        line = (corpus / "test" / file).read_text().splitlines()[0]
        (corpus / "test" / file).write_text(f"test0 {line.split()[1]}\n")
    assert run(tmp_path, *options).returncode == 0
    assert sorted(tmp_path.glob("dump/audio_*/**/*.flac")) == files
    assert samples(raw / "test/utt2num_samples") == {"test0": 16000}


@pytest.mark.parametrize(
    "line, said",
    [
        ("u train0 0.5", "is not UTTERANCE RECORDING START END"),
        ("u train0 0.5 0.5", "does not end after its start"),
        ("u train9 0.1 0.5", "the recording 'train9', which wav.scp has not"),
    ],
)
def test_bad_segments(corpus, tmp_path, line, said):
    (corpus / "train/segments").write_text(line + "\n")
    (corpus / "train/text").write_text("u ONE\n")
    (corpus / "train/utt2spk").unlink()
    done = run(tmp_path, "--stage", 1, "--data_dir", corpus)
    assert done.returncode == 2
    assert "train/segments: 'u train" in done.stderr and said in done.stderr


def test_copies_at_other_speeds_are_of_this_corpus(corpus, tmp_path, monkeypatch):
    """The same ids in another corpus; then other audio at the same paths."""
    options = "--stage 1 --stop_stage 2 --speed_perturb_factors".split() + ["0.9 1.0"]
    monkeypatch.chdir(tmp_path)

    def copies():
        data_prep.main([*options, "--data_dir", str(corpus)])
        scp = (tmp_path / "data/train_sp/wav.scp").read_text().splitlines()
        paths = [line.split()[1] for line in scp if line.startswith("sp0.9-")]
        return paths, [round(np.abs(soundfile.read(p)[0]).max(), 2) for p in paths]

    def louder(gain):
        for path in (corpus / "audio").iterdir():
            audio, rate = soundfile.read(path)
            soundfile.write(path, audio * gain, rate)

    first = copies()
    assert copies() == first
    louder(2.0)
    paths, peaks = copies()
    assert peaks == pytest.approx([2 * peak for peak in first[1]], abs=0.02)
    assert not any(Path(path).exists() for path in first[0])
    corpus.rename(corpus.with_name("moved"))
    corpus = corpus.with_name("moved")
    louder(2.0)
    assert copies()[1] == pytest.approx([2 * peak for peak in peaks], abs=0.03)


def test_odd_ids_stay_in_the_dump(corpus, tmp_path):
    """No id leads out of a directory, and the copy of none has another's id."""
    ids = ["../../../evil", "/etc/x", "..", "x" * 300]
    for file in ("wav.scp", "text", "utt2spk"):
        lines = (corpus / "train" / file).read_text().splitlines()
        lines = [f"{i} {x.split(' ', 1)[1]}" for i, x in zip(ids, lines)]
        (corpus / "train" / file).write_text("\n".join(lines) + "\n")
    folder = tmp_path / "a/b/c"
    folder.mkdir(parents=True)
    options = ("--stage", 1, "--stop_stage", 5, "--data_dir", corpus)
    options += ("--speed_perturb_factors", "0.9 1.0", "--token_type", "char")
    before = {p for p in tmp_path.rglob("*") if folder not in p.parents}
    done = run(folder, *options)
    assert done.returncode == 0, done.stderr
    assert {p for p in tmp_path.rglob("*") if folder not in p.parents} == before
    assert len(keys(folder / "dump/raw/train_sp/wav.scp")) == 8
    for file in ("wav.scp", "text", "utt2spk"):
        path = corpus / "train" / file
        path.write_text(path.read_text().replace("/etc/x", "sp0.9-.."))
    done = run(folder, *options)
    assert done.returncode == 2 and "'sp0.9-..' would also be the name" in done.stderr

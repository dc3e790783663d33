# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A small corpus on disk as LibriSpeech is."""

import re

import numpy as np
import pytest
import soundfile

from espnet_prune.utils import UserError
from test.egs2 import librispeech_layout

SPEAKERS = {"train": ("fann", "mbob", "1089"), "dev": ("f1", "m1"), "test": ("2", "3")}


@pytest.fixture
def corpus(tmp_path):
    """A corpus of noise; one speaker has LibriSpeech's names, one many utterances."""
    rng = np.random.default_rng(0)
    for name, people in SPEAKERS.items():
        folder = tmp_path / "corpus" / name
        folder.mkdir(parents=True)
        lines = {"wav.scp": "", "text": "", "utt2spk": ""}
        for who in people:
            for i in range(21 if who == "mbob" else 2):
                utt = f"{who}-x{i:02d}" if who != "1089" else f"1089-134686-{i + 7:04d}"
                path = folder / f"{utt}.flac"
                soundfile.write(str(path), rng.uniform(-0.1, 0.1, 1600), 16000)
                lines["wav.scp"] += f"{utt} {name}/{utt}.flac\n"
                lines["text"] += f"{utt} it's {who}\n"
                lines["utt2spk"] += f"{utt} {who}\n"
        for file, text in lines.items():
            (folder / file).write_text(text)
    return tmp_path / "corpus"


def lay_out(corpus, *options):
    """Run the script; returns the folder that it wrote."""
    out = corpus.parent / "out"
    librispeech_layout.main(
        ["--corpus", str(corpus), "--output_dir", str(out), *options]
    )
    return out / "LibriSpeech"


def test_names_transcripts_and_tables(corpus):
    root = lay_out(corpus)
    parts = {path.name for path in root.iterdir() if path.is_dir()}
    assert parts == {
        *("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other"),
    }
    chapters = set()
    for path in root.rglob("*.flac"):
        name = re.fullmatch(r"(\d+)-(\d+)-(\d{4})", path.stem)
        assert path.parent.parts[-2:] == (name[1], name[2])
        chapters.add((name[1], name[2]))
        text = (path.parent / f"{name[1]}-{name[2]}.trans.txt").read_text()
        assert f"{path.stem} IT'S " in text
    assert len({chapter for _, chapter in chapters}) == len(chapters) == 8
    real = root / "train-clean-100" / "1089" / "134686"
    assert sorted(p.name for p in real.glob("*.flac")) == [
        "1089-134686-0007.flac",
        "1089-134686-0008.flac",
    ]
    source = corpus / "train" / "1089-134686-0007.flac"
    assert (real / "1089-134686-0007.flac").read_bytes() == source.read_bytes()
    table = (root / "SPEAKERS.TXT").read_text()
    assert re.search(r"^1089 +\| M \| train-clean-100 +\|", table, re.M)
    assert table.count("| F |") == 2
    assert len((root / "CHAPTERS.TXT").read_text().splitlines()) == 9
    assert (root / "LICENSE.TXT").is_file()  # ESPnet would download without it


def test_parts_and_limits(corpus):
    parts = "train-clean-100 train-clean-360 train-other-500"
    root = lay_out(corpus, "--train_parts", parts, "--train_utts", "6")
    for part in parts.split():
        assert len(list((root / part).rglob("*.flac"))) == 2
    root.rename(corpus.parent / "first")
    root = lay_out(corpus, "--train_utts", "4", "--eval_utts", "2")
    assert len(list((root / "train-clean-100").rglob("*.flac"))) == 4
    assert len(list((root / "dev-other").rglob("*.flac"))) == 1


def test_bad_input_is_one_sentence(corpus):
    with pytest.raises(UserError, match="1 speakers are too few for dev-clean"):
        lay_out(corpus, "--eval_utts", "1")
    assert not (corpus.parent / "out").exists()
    lay_out(corpus)
    with pytest.raises(UserError, match="LibriSpeech exists; remove it"):
        lay_out(corpus)
    (corpus.parent / "out").rename(corpus.parent / "first")
    soundfile.write(str(corpus / "dev" / "f1-x00.flac"), np.zeros(800), 8000)
    with pytest.raises(UserError, match="f1-x00.flac is not 16 kHz mono FLAC"):
        lay_out(corpus)
    assert not (corpus.parent / "out").exists()

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import os
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch

from espnet_prune.data.audio import (
    Piece,
    check_audio,
    copy_piece,
    read_piece,
    tell_unreadable_audio,
    tell_unreadable_lines,
)
from espnet_prune.utils import UserError


def write(path, samples=8000, **kwargs):
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, samples)
    soundfile.write(path, noise, 16000, **kwargs)
    return str(path)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_recording_that_breaks_off(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}")
    assert check_audio(path, "x") == (8000, 16000, 1)
    data = (tmp_path / f"a.{kind}").read_bytes()
    (tmp_path / f"a.{kind}").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="^wav.scp: 'u1' (ends early|cannot be read)"):
        check_audio(path, "wav.scp: 'u1'")


def test_a_header_without_a_size_is_fine(tmp_path):
    path = tmp_path / "a.wav"
    data = bytearray(open(write(path), "rb").read())
    data[4:8] = data[40:44] = b"\xff" * 4  # as programs write it that stream
    path.write_bytes(data)
    assert check_audio(str(path), "x")[0] == 8000


def test_samples_that_are_not_finite(tmp_path):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    with pytest.raises(UserError, match="'u1' has samples that are not finite"):
        check_audio(path, "'u1'")


def test_pieces_of_a_recording(tmp_path):
    path = write(tmp_path / "a.wav")
    whole = soundfile.read(path)[0]
    audio, rate = read_piece(Piece(path, 0.1, 0.3), "x")
    assert rate == 16000 and np.array_equal(audio, whole[1600:4800])
    # as in Kaldi it may end a little after the end of the recording, or there
    assert np.array_equal(read_piece(Piece(path, 0.4, 0.9), "x")[0], whole[6400:])
    assert np.array_equal(read_piece(Piece(path, 0.4, None), "x")[0], whole[6400:])
    for piece in (Piece(path, 0.1, 2.0), Piece(path, 0.6, 0.7)):
        with pytest.raises(UserError, match="^'u1' ends at .*a.wav has 0.5 s"):
            read_piece(piece, "'u1'")


def test_a_copy_belongs_to_its_recording(tmp_path):
    path = write(tmp_path / "a.wav")

    def copy(**changes):
        given = dict(start=None, end=None, speed=Fraction(9, 10), utt="../u1")
        given.update(changes)
        speed, utt = given.pop("speed"), given.pop("utt")
        return copy_piece(utt, Piece(path, **given), tmp_path / "c", "x", speed)

    first = copy()
    assert soundfile.info(first).frames == 8889
    os.utime(first, (1, 1))
    assert copy() == first and os.stat(first).st_mtime == 1  # it is not made again
    os.utime(path, (5, 5))
    names = {first, copy(), copy(start=0.0, end=0.2), copy(speed=Fraction(11, 10))}
    soundfile.write(path, np.zeros(4000), 16000)
    os.utime(path, (5, 5))
    names.add(copy())
    assert len(names) == 5
    assert {os.path.dirname(name) for name in names} == {str(tmp_path / "c")}


def test_decoding_names_the_utterance_that_it_cannot_read(tmp_path):
    from espnet2.train.iterable_dataset import IterableESPnetDataset

    write(tmp_path / "a.flac")
    (tmp_path / "b b.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:5000])
    scp = tmp_path / "wav.scp"
    scp.write_text(f"ua {tmp_path}/a.flac\nub {tmp_path}/b b.flac\n")
    tell_unreadable_lines([])
    tell_unreadable_lines([scp])
    dataset = IterableESPnetDataset([(str(scp), "speech", "sound")])
    loader = iter(torch.utils.data.DataLoader(dataset, num_workers=1, batch_size=None))
    assert len(next(loader)[1]["speech"]) == 8000
    with pytest.raises(UserError, match="^.*wav.scp: the audio of .* 'ub'") as error:
        next(loader)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_training_names_the_utterance_that_it_cannot_read(tmp_path, workers):
    from espnet2.train.dataset import ESPnetDataset

    write(tmp_path / "a.flac")
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "b.flac").write_bytes(data[: len(data) // 2])
    lines = [f"u{x} {tmp_path}/{x}.flac\n" for x in "ab"]
    (tmp_path / "wav.scp").write_text("".join(lines))
    tell_unreadable_audio()
    tell_unreadable_audio()
    dataset = ESPnetDataset([(str(tmp_path / "wav.scp"), "speech", "sound")])
    assert len(dataset["ua"][1]["speech"]) == 8000
    loader = torch.utils.data.DataLoader(dataset, sampler=["ub"], num_workers=workers)
    with pytest.raises(UserError, match="^.*wav.scp: the audio of .* 'ub'") as error:
        next(iter(loader))
    assert "\n" not in str(error.value)
    assert str(error.value).count("cannot be read") == 1

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What steps read: every frame once, of the right samples, mirrored at both ends."""

from types import SimpleNamespace

import numpy as np
import pytest

from espnet_prune.runtime.blocks import Steps, log_probs
from espnet_prune.utils import UserError

SPEECH = {
    **{"block": 5, "hop": 2, "look_ahead": 2, "frame": 6},
    **{"first": -4, "reads": 14, "shortest": 7},
}


class Session:
    """A step whose frames are their samples, and which says each as it is."""

    def __init__(self, layout):
        self.layout, self.sizes = layout, []

    def get_inputs(self):
        shapes = {"speech": [1, "S"], "last": [1], "frames": [1, "K", SPEECH["reads"]]}
        shapes.update(context=[1, 1, 1], blocks=[1])
        return [SimpleNamespace(name=n, shape=shape) for n, shape in shapes.items()]

    def get_outputs(self):
        names = ("log_probs", "new_frames", "new_context", "new_blocks")
        return [SimpleNamespace(name=name) for name in names]

    def run(self, names, feeds):
        lay, wave = SimpleNamespace(**self.layout), feeds["speech"][0]
        assert (len(wave) - lay.reads) % lay.frame == 0
        count = (len(wave) - lay.reads) // lay.frame + 1
        new = [wave[i * lay.frame :][: lay.reads] for i in range(count)]
        x = np.concatenate([feeds["frames"][0], np.array(new)])
        first, last = feeds["blocks"][0] == 0, feeds["last"][0] == 1
        assert len(x) == lay.block or (last and len(x) < lay.block)
        assert feeds["context"][0, 0, 0] == feeds["blocks"][0]  # is carried over
        past = lay.block - lay.hop - lay.look_ahead
        said = x[0 if first else past : len(x) if last else past + lay.hop]
        more = feeds["context"] + 1, feeds["blocks"] + 1
        return [said[None], x[None, lay.hop :], *more]


def frames(wave, layout):
    """Return what frames read of a whole utterance (T, reads)."""
    lay = SimpleNamespace(**layout)
    padded = np.pad(wave, -lay.first, mode="reflect")
    count = (len(wave) - lay.shortest) // lay.frame + 1
    return np.array([padded[i * lay.frame :][: lay.reads] for i in range(count)])


@pytest.mark.parametrize("chunk", [1, 5, 64, 1000])
def test_every_frame_once(chunk):
    for size in range(SPEECH["shortest"], 130):
        wave = np.random.RandomState(size).randn(size).astype("f")
        got = log_probs(Session(SPEECH), SPEECH, wave, chunk)
        np.testing.assert_array_equal(got, frames(wave, SPEECH))


def test_a_block_waits_for_the_frame_after_it():
    steps = Steps(Session(SPEECH), SPEECH)
    needed = SPEECH["shortest"] + SPEECH["block"] * SPEECH["frame"]
    wave = np.arange(needed, dtype="f")
    assert steps.accept(wave[: needed - 1]) == [] and steps.blocks == 0
    assert [len(one) for one in steps.accept(wave[needed - 1 :])] == [3]
    assert steps.blocks == 1
    held = sum(map(len, steps.parts))
    assert held < needed - 3 * SPEECH["frame"]  # what is done is not kept
    assert sum(map(len, steps.finish())) == 3


def test_utterances_follow_each_other():
    steps, waves = Steps(Session(SPEECH), SPEECH), []
    for seed, size in enumerate((50, 9, 120)):
        waves.append(np.random.RandomState(seed).randn(size).astype("f"))
        found = steps.accept(waves[-1]) + steps.finish()
        np.testing.assert_array_equal(np.concatenate(found), frames(waves[-1], SPEECH))
    assert steps.accept(np.zeros(3, "f")) == [] and steps.finish() == []
    assert steps.finish() == []


def test_a_layout_that_is_none():
    with pytest.raises(UserError, match="stream: key 'reads' is missing"):
        Steps(Session(SPEECH), {k: v for k, v in SPEECH.items() if k != "reads"})

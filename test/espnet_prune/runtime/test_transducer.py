# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transducers are decoded as ESPnet decodes them, with the same scores."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from espnet_prune.deploy.onnx.transducer import export_transducer
from espnet_prune.runtime.transducer import Transducer

VOCABULARY, WIDTH = 9, 8


def made():
    """Return a transducer that says something, and blank in most frames."""
    from espnet2.asr.decoder.transducer_decoder import TransducerDecoder
    from espnet2.asr_transducer.joint_network import JointNetwork

    torch.manual_seed(0)
    decoder = TransducerDecoder(VOCABULARY, num_layers=2, hidden_size=WIDTH)
    joint = JointNetwork(VOCABULARY, WIDTH, WIDTH, 16)
    with torch.no_grad():
        decoder.embed.weight.mul_(3.0)
        joint.lin_out.weight.mul_(6.0)
        joint.lin_out.bias[0] += 4.0
    return SimpleNamespace(decoder=decoder.eval(), joint_network=joint.eval())


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return ESPnet's modules, and the searches in their files."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = made()
    files = export_transducer(model, tmp_path_factory.mktemp("transducer"))
    sessions = {
        name: onnxruntime.InferenceSession(
            str(path), providers=["CPUExecutionProvider"]
        )
        for name, path in files.items()
    }
    return model, Transducer(sessions, {"blank": 0})


def espnet(model, encoder_out, beam, **conf):
    from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer

    search = BeamSearchTransducer(
        model.decoder, model.joint_network, beam, nbest=100, **conf
    )
    with torch.no_grad():
        return search(torch.from_numpy(encoder_out))


def utterance(frames, seed):
    generator = np.random.default_rng(seed)
    return 1.5 * generator.normal(size=(frames, WIDTH)).astype(np.float32)


@pytest.mark.parametrize(
    "beam, conf",
    [(1, {}), (2, {}), (4, {}), (4, {"score_norm": False}), (20, {})],
)
def test_same_as_espnet(both, beam, conf):
    model, ours = both
    spoken = 0
    for frames, seed in [(1, 0), (11, 2), (20, 3)]:
        encoder_out = utterance(frames, seed)
        theirs = espnet(model, encoder_out, beam, **conf)

        found = ours.beam(encoder_out, beam, **conf)

        assert [one.tokens for one in found] == [one.yseq[1:] for one in theirs]
        scores = [one.score for one in theirs]
        assert [one.score for one in found] == pytest.approx(scores, abs=1e-4)
        for one in found:
            assert len(one.times) == len(one.tokens)
            assert one.times == sorted(one.times)
            assert all(0 <= t < frames for t in one.times)
        spoken += sum(len(one.tokens) for one in found)
    assert spoken > 2


def test_greedy_says_at_which_frames(both):
    model, ours = both
    encoder_out = utterance(40, seed=3)

    found = ours.greedy(encoder_out)

    # what is said up to a frame is what is said in the utterance up to it
    ends = [len(ours.greedy(encoder_out[: t + 1]).tokens) for t in range(40)]
    begins = [t for t in range(40) if ends[t] > (ends[t - 1] if t else 0)]
    assert found.times == begins and len(begins) > 5


def test_no_frames(both):
    empty = np.zeros((0, WIDTH), np.float32)

    assert both[1].greedy(empty) == ([], 0.0, [])
    assert both[1].beam(empty, 4) == [([], 0.0, [])]


class Talking:
    """A joint network that never wants to go on to the next frame."""

    def run(self, names, given):
        rows = max(len(given["encoder_frame"]), len(given["prediction"]))
        return [np.tile(np.log([1e-30, 1 - 1e-9, 1e-9]), (rows, 1))]


def test_a_model_that_never_goes_on_comes_to_an_end(both):
    prediction = both[1].sessions["prediction"]
    search = Transducer({"prediction": prediction, "joint": Talking()}, {"blank": 0})

    assert search.beam(np.zeros((2, WIDTH), np.float32), 2)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Exported transducers predict and join as those of torch, token by token."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from espnet_prune import Structure, cut
from espnet_prune.deploy.onnx.transducer import export_transducer
from espnet_prune.utils import UserError
from test.espnet_prune.deploy.onnx.test_decoder import opened, run

pytestmark = pytest.mark.runtime("onnxruntime")


def made(kind, **conf):
    from espnet2.asr.decoder.transducer_decoder import TransducerDecoder
    from espnet2.asr_transducer.decoder.rnn_decoder import RNNDecoder
    from espnet2.asr_transducer.decoder.stateless_decoder import StatelessDecoder
    from espnet2.asr_transducer.joint_network import JointNetwork

    torch.manual_seed(0)
    kinds = dict(recurrent=TransducerDecoder, other=RNNDecoder, none=StatelessDecoder)
    joint = JointNetwork(11, 16, 12, 20, joint_activation_type="relu").eval()
    small = cut(joint, Structure.random(joint, 0, 0.4))
    return SimpleNamespace(decoder=kinds[kind](11, **conf).eval(), joint_network=small)


@pytest.mark.parametrize(
    "kind, conf",
    [
        ("recurrent", dict(rnn_type="lstm", num_layers=2, hidden_size=12)),
        ("recurrent", dict(rnn_type="gru", num_layers=2, hidden_size=12)),
        ("other", dict(rnn_type="lstm", num_layers=1, embed_size=8, hidden_size=12)),
        ("none", dict(embed_size=12)),
    ],
)
def test_same_scores(kind, conf, tmp_path):
    model = made(kind, **conf)
    sessions = opened(export_transducer(model, tmp_path))
    ys = torch.randint(1, 11, (3, 7), generator=torch.Generator().manual_seed(0))
    ys[:, 0] = 0  # the blank begins a sentence
    frames = torch.randn(7, 16)
    with torch.no_grad():
        predicted = model.decoder(ys)
        wanted = model.joint_network(frames[None], predicted).log_softmax(-1).numpy()
    states = {
        x.name: np.zeros((len(ys), *x.shape[1:]), np.float32)
        for x in sessions["prediction"].get_inputs()[1:]
    }
    assert len(states) == {"lstm": 2, "gru": 1}.get(conf.get("rnn_type"), 0)
    for n, frame in enumerate(frames):
        feed = {"tokens": ys[:, n : n + 1].numpy(), **states}
        given = run(sessions["prediction"], feed)
        prediction = given.pop("prediction")
        states = {name[len("new_") :]: state for name, state in given.items()}
        for rows in (1, len(ys)):  # one frame for all hypotheses, or one for each
            feed = frame.expand(rows, -1).numpy()
            feed = {"encoder_frame": feed, "prediction": prediction}
            found = run(sessions["joint"], feed)["log_probs"]
            assert np.abs(found - wanted[:, n]).max() <= 1e-5 * np.abs(wanted).max()


def test_others_are_refused(tmp_path):
    from espnet2.asr_transducer.decoder.mega_decoder import MEGADecoder

    model = made("none", embed_size=12)
    model.transducer_multi_blank_durations = [2]
    with pytest.raises(UserError, match="transducer_multi_blank_durations: "):
        export_transducer(model, tmp_path)
    model = SimpleNamespace(decoder=MEGADecoder(11, 16))
    with pytest.raises(UserError, match="transducer decoder MEGADecoder cannot be"):
        export_transducer(model, tmp_path)

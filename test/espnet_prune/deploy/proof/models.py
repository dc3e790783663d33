# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Tiny models, deployed, for tests of the proof."""

from espnet_prune.deploy.onnx.package import export_model
from espnet_prune.deploy.proof.again import source_of
from espnet_prune.models import load_model
from test.espnet_prune.deep import CONFIG, HYBRID, write_model

CONFORMER = {
    **CONFIG,
    "encoder": "conformer",
    "encoder_conf": {**HYBRID["encoder_conf"], "num_blocks": 2},
}
TRANSDUCER = {
    **CONFORMER,
    "decoder": "transducer",
    "decoder_conf": {"rnn_type": "lstm", "num_layers": 1, "hidden_size": 8},
    "joint_net_conf": {"joint_space_size": 8},
    "model_conf": {"ctc_weight": 0.3},
}


def deployed(folder, config, seed=0):
    """Write a model and its ONNX files.

    Returns:
        The directory of the files, the model, its configuration, and what is recorded.
    """
    write_model(folder / "exp", config, seed)
    files = folder / "exp/config.yaml", folder / "exp/model.pth"
    model, config = load_model(*files)
    export_model(model, config, folder / "out")
    return folder / "out", model, config, source_of(*files)

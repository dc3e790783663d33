# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A transducer: trained with the loss that stands in, cut, written and decoded."""

import pytest
import soundfile
import torch
import yaml

import espnet_prune
from espnet_prune import Structure, cost, cut, unit_graph
from espnet_prune.cutting.stock import stack_config
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare
from espnet_prune.models import load_model, save_model
from espnet_prune.units import masked
from espnet_prune.utils import write_yaml
from test.espnet_prune.tones import make_data
from test.espnet_prune.train.conftest import CONFIG, data_options

TRANSDUCER = dict(
    CONFIG,
    decoder="transducer",
    decoder_conf=dict(rnn_type="lstm", num_layers=1, hidden_size=12),
    joint_net_conf=dict(joint_space_size=20),
    model_conf=dict(ctc_weight=0.3, report_cer=False, report_wer=False),
    best_model_criterion=[["train", "loss", "min"]],
    optim_conf=dict(lr=0.05),
    max_epoch=2,
)


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    """Train a transducer."""
    from espnet_prune.bin import asr_train

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("transducer")
    make_data(root / "data", train=6, valid=2)
    (root / "train.yaml").write_text(yaml.safe_dump(TRANSDUCER))
    options = ["--config", str(root / "train.yaml"), *data_options(root / "data")]
    asr_train.main([*options, "--output_dir", str(root / "exp")])
    (root / "exp" / "train.loss.ave.pth").rename(root / "exp" / "model.pth")
    return root / "exp"


def speech2text(folder, beam_size):
    from espnet2.bin.asr_inference import Speech2Text

    espnet_prune.register()
    files = str(folder / "config.yaml"), str(folder / "model.pth")
    return Speech2Text(*files, beam_size=beam_size, nbest=2)


def heard(model, wave):
    found = model(wave)
    return [h.yseq for *_, h in found], [float(h.score) for *_, h in found]


def test_training_learns(exp):
    state = torch.load(exp / "checkpoint.pth", weights_only=False)
    epochs = sorted(state["reporter"]["stats"].items())
    losses = [epoch["train"]["loss_transducer"] for _, epoch in epochs]
    assert len(losses) == 2 and losses[1] < losses[0]


def test_cut_and_decoded(exp, tmp_path):
    model, config = load_model(exp / "config.yaml", exp / "model.pth")
    graph = unit_graph(model)
    assert set(graph.places) == {"encoder", "joint"}
    structure = Structure.random(model, 3)
    masks = soft_masks(graph, structure, 3)
    small = cut(model, structure, masks)
    report = compare(model, graph, masks, small, trials=3, ctc=model.ctc)
    assert report["equal"], report
    assert cost(structure).params == sum(p.numel() for p in small.parameters())
    written = {}
    for stack, name, key in (
        ("encoder", config["encoder"], "encoder_conf"),
        ("joint", "joint_network", "joint_net_conf"),
    ):
        conf = config[key]
        found = stack_config(name, conf, graph.dense, structure, stack)
        written[stack], config[key] = found
    config["encoder"] = written["encoder"]
    assert config["joint_net_conf"]["joint_space_size"] < 20
    write_yaml(config, tmp_path / "config.yaml")
    save_model(small, tmp_path / "model.pth")
    for beam_size in (1, 3):
        dense, pruned = (speech2text(f, beam_size) for f in (exp, tmp_path))
        wave, _ = soundfile.read(exp.parent / "data" / "valid0.wav", dtype="float32")
        with masked(dense.asr_model, graph, masks):
            tokens, scores = heard(dense, wave)
        ours, own_scores = heard(pruned, wave)
        assert ours == tokens and own_scores == pytest.approx(scores, rel=1e-4)

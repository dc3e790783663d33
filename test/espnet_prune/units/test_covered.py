# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Encoders with parts that no unit covers are refused, whoever asks."""

import pytest
import torch
from espnet2.tasks.asr import encoder_choices

from espnet_prune import Structure, UserError, cost, unit_graph
from espnet_prune.bin import check_model
from espnet_prune.bin import cost as cost_command
from espnet_prune.bin import select
from espnet_prune.models import build_model
from espnet_prune.utils import write_yaml
from test.espnet_prune.deep import CONFIG
from test.espnet_prune.encoder_zoo import MEL, SMALL, VARIANTS, build

_SPEAKERS = (
    "transformer_encoder_multispkr .* its encoders_sd is covered by no unit; use a"
)
CONFS = {
    "transformer_multispkr": (
        {**SMALL, "num_blocks_sd": 1, "num_inf": 2},
        _SPEAKERS,
    ),
    "transformer_multispkr without blocks for speakers": (
        {**SMALL, "num_blocks_sd": 0, "num_inf": 2},
        _SPEAKERS,
    ),
    "rnn": ({}, "RNNEncoder has no pruning adapter"),
}


@pytest.mark.parametrize("name", CONFS)
def test_every_question_is_refused(name):
    conf, words = CONFS[name]
    encoder = encoder_choices.classes[name.split()[0]](MEL, **conf)
    for ask in (unit_graph, Structure.dense, cost):
        with pytest.raises(UserError, match=words):
            ask(encoder)


def test_a_part_of_a_subclass_is_named():
    for variant in VARIANTS:
        unit_graph(build(variant))
    encoder = build("latest")
    encoder.adapter = torch.nn.Dropout()
    unit_graph(encoder)  # nothing in it is lost
    encoder.adapter = torch.nn.Linear(16, 16)
    with pytest.raises(UserError, match="its adapter is covered by no unit"):
        unit_graph(encoder)
    del encoder.adapter
    encoder.encoders[1].adapter = torch.nn.Bilinear(2, 2, 2)
    with pytest.raises(UserError, match="encoders.1.adapter is a Bilinear"):
        unit_graph(encoder)


def test_commands_refuse_at_once(tmp_path):
    sizes = {"num_layers": 1, "hidden_size": 8, "output_size": 8}
    config = {**CONFIG, "encoder": "rnn", "encoder_conf": sizes}
    write_yaml(config, tmp_path / "config.yaml")
    torch.save(build_model(config).state_dict(), tmp_path / "model.pth")
    write_yaml({"method": "magnitude"}, tmp_path / "select.yaml")
    words = ["--model_config", str(tmp_path / "config.yaml")]
    pair = [*words, "--model_file", str(tmp_path / "model.pth")]
    more = ["--config", str(tmp_path / "select.yaml"), "--output_dir", str(tmp_path)]
    for command, options in (
        (check_model, pair),
        (cost_command, words),
        (select, [*pair, *more]),
    ):
        with pytest.raises(UserError, match="RNNEncoder has no pruning"):
            command.main(options)

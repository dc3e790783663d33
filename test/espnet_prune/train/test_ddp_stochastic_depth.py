# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Stochastic depth in two processes that skip different blocks."""

import torch
import yaml

from test.espnet_prune.train.two import in_two_processes, rank_options

CONF = dict(
    output_size=16,
    attention_heads=2,
    linear_units=24,
    num_blocks=2,
    interctc_layer_idx=[1],
    stochastic_depth_rate=0.8,
)
MODEL = dict(ctc_weight=1.0, interctc_weight=0.5, report_wer=False)


def ctc_config(tiny, name, **encoder):
    """Write the config of a Transformer with CTC only."""
    return tiny.write_config(
        tiny.root / f"{name}.yaml",
        encoder="pruned_transformer",
        encoder_conf={**CONF, **encoder},
        decoder=None,
        decoder_conf=None,
        model_conf=MODEL,
        best_model_criterion=[["valid", "cer_ctc", "min"]],
        max_epoch=1,
    )


def test_two_processes_with_stochastic_depth(tiny, train):
    output = tiny.root / "two_sd"
    command = ["--config", ctc_config(tiny, "two_sd"), "--output_dir", str(output)]
    command += tiny.options

    def work(rank):
        train([*command, *rank_options(rank, tiny.root / "meeting_sd")])

    assert in_two_processes(work) == [0, 0]
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert config["unused_parameters"] is True
    state = torch.load(output / "valid.cer_ctc.ave.pth", weights_only=True)
    assert all(value.isfinite().all() for value in state.values())


def test_the_switch_is_for_distributed_stochastic_depth_only(tiny, train, monkeypatch):
    from espnet_prune.train.command import get_parser
    from espnet_prune.train.task import PruneASRTask

    for distributed, rate in ((False, 0.8), (True, 0), (True, [0, 0.1])):
        config = ctc_config(tiny, "switch", stochastic_depth_rate=rate)
        command = ["--config", config, "--output_dir", str(tiny.root / "switch")]
        args = get_parser().parse_args([*command, *tiny.options])
        model = PruneASRTask.build_model(args)
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: distributed)
        PruneASRTask.build_optimizers(args, model)
        assert args.unused_parameters is (distributed and rate != 0)

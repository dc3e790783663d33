# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every training configuration that is shipped builds a model that can be pruned."""

from pathlib import Path

import pytest

EGS2 = Path(__file__).parents[2] / "egs2"
CONFIGS = sorted(EGS2.glob("*/asr_prune1/conf/train_*.yaml"))
PRUNE = sorted(EGS2.glob("*/asr_prune1/conf/prune_*.yaml"))
TOKENS = ["<blank>", "<unk>", "A", "B", "C", "D", "<sos/eos>"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parts[-4]}-{p.stem}")
def test_config_builds(path, tmp_path):
    pytest.importorskip("espnet2")
    from espnet_prune import cost, unit_graph
    from espnet_prune.bin.asr_train import get_parser, read_command
    from espnet_prune.train import precheck
    from espnet_prune.train.task import PruneASRTask

    assert path.read_text().startswith("# ")  # says what it is
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("\n".join(TOKENS) + "\n")
    command = ["--config", str(path), "--token_list", str(tokens)]
    command += ["--output_dir", str(tmp_path / "exp"), "--token_type", "char"]
    args = read_command(get_parser(), command)
    precheck.check_confs(args, PruneASRTask)
    model = PruneASRTask.build_model(args)
    encoder = model.encoder
    params = sum(p.numel() for p in encoder.parameters())
    assert cost(unit_graph(encoder).dense).params == params
    assert len(encoder.interctc_layer_idx) == 0 or model.interctc_weight > 0
    # without a decoder there is no accuracy to choose the best epochs by
    criteria = [name for _, name, _ in args.best_model_criterion]
    assert ("acc" in criteria) == (model.decoder is not None)


@pytest.mark.parametrize("path", PRUNE, ids=lambda p: f"{p.parts[-4]}-{p.stem}")
def test_selection_is_understood(path):
    from espnet_prune.bin.select import get_parser, read_conf
    from espnet_prune.select.budget import Budget
    from espnet_prune.select.layers.conf import LayersConf

    assert path.read_text().startswith("# ")  # says what it is
    conf = read_conf(get_parser().parse_args(["--config", str(path)]))
    if conf["method"] == "layers":
        LayersConf.from_dict(conf["layers_conf"])
        assert conf["num_remove"] > 0
    else:
        Budget.from_conf(conf["budget"])

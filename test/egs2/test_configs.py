# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every configuration that is shipped builds a model, or fits those of its recipe."""

import re
from pathlib import Path

import pytest
import yaml

EGS2 = Path(__file__).parents[2] / "egs2"
RECIPES = sorted(path.parent for path in EGS2.glob("*/*_prune1/run.sh"))
OWN = [path / "conf" for path in RECIPES if not (path / "conf").is_symlink()]
CONFIGS = [path for conf in OWN for path in sorted(conf.glob("train_*.yaml"))]
PRUNE = [path for conf in OWN for path in sorted(conf.glob("prune_*.yaml"))]
RECOVER = [path for conf in OWN for path in sorted(conf.glob("recover*.yaml"))]
DECODE = [path for conf in OWN for path in sorted(conf.glob("decode_*.yaml"))]
TOKENS = ["<blank>", "<unk>", "A", "B", "C", "D", "<sos/eos>"]


def name(path):
    return f"{path.parts[-4]}-{path.parts[-3][: -len('_prune1')]}-{path.stem}"


def read_training(command):
    """Options of a training, checked as it checks them."""
    from espnet_prune.measure.forecast import read_training as read

    return read(command, len(TOKENS))


def meant_for(selection, training):
    """Whether a selection of a recipe is one for this training of it."""
    ssl = training["encoder"] == "pruned_wav2vec2"
    if "recover_ssl.yaml" in {path.name for path in selection.parent.iterdir()}:
        return ssl == ("_ssl_" in selection.name) or "comflp" in selection.name
    blocks = training["encoder_conf"].get("num_blocks", 12)
    text = yaml.safe_load(selection.read_text())
    if "ondemand" in selection.name and blocks > 12:
        return "pruned_" in training["encoder"]
    return text.get("num_remove", 0) < blocks


def criteria(path):
    """What a configuration says that epochs are judged by."""
    found = yaml.safe_load(path.read_text()).get("best_model_criterion") or []
    return {tuple(criterion) for criterion in found}


def blocks_left(selection, number):
    """How many of `number` blocks the comment above a selection of blocks promises."""
    comment = selection.read_text().split("method:")[0]
    down = re.search(r"down to (\d+) of (\d+) blocks", comment)
    if down:
        assert number == int(down[2]), "meant for another depth"
        return int(down[1])
    assert re.search(r"(Half of the|half the) blocks", comment)
    return number - number // 2


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_config_builds(path):
    """At its real size, without memory; and every selection can be had of it."""
    pytest.importorskip("espnet2")
    import torch

    from espnet_prune import cost, unit_graph
    from espnet_prune.bin.select import get_parser
    from espnet_prune.models import build_model
    from espnet_prune.select.budget import UNIT_KINDS, Budget, check_reachable
    from espnet_prune.select.conf import read_conf
    from espnet_prune.select.layers.asked import number_to_remove

    assert path.read_text().startswith("# ")  # says what it is
    args = read_training(["--config", str(path)])
    with torch.device("meta"):
        model = build_model(vars(args))
    encoder = model.encoder
    graph = unit_graph(encoder)
    params = sum(p.numel() for p in encoder.parameters())
    assert cost(graph.dense).params == params
    levels = getattr(encoder, "interctc_layer_idx", [])
    assert len(levels) == 0 or model.interctc_weight > 0
    # without a decoder there is no accuracy to choose the best epochs by
    judged = (
        [("valid", "acc", "max")] if model.decoder else [("valid", "cer_ctc", "min")]
    )
    assert list(map(tuple, args.best_model_criterion)) == judged

    training = yaml.safe_load(path.read_text())
    own = [p for p in PRUNE if p.parent == path.parent and meant_for(p, training)]
    assert own
    for selection in own:
        conf = read_conf(get_parser().parse_args(["--config", str(selection)]))
        number = len(graph.dense["encoder"].kept_blocks)
        if conf["method"] == "layers":
            budget = Budget.from_conf(conf["budget"]) if conf["budget"] else None
            count = number_to_remove(graph.dense, conf.get("num_remove"), budget)
            assert number - count == blocks_left(selection, number)
        else:
            budget = Budget.from_conf(conf["budget"])
            check_reachable(graph, conf.get("units") or UNIT_KINDS, budget)


@pytest.mark.parametrize("path", PRUNE, ids=name)
def test_selection_is_understood(path):
    from espnet_prune.bin.select import get_parser
    from espnet_prune.select.budget import Budget
    from espnet_prune.select.conf import read_conf
    from espnet_prune.select.layers.conf import LayersConf

    assert path.read_text().startswith("# ")  # says what it is
    conf = read_conf(get_parser().parse_args(["--config", str(path)]))
    if conf["method"] == "layers":
        LayersConf.from_dict(conf["layers_conf"])
        given = yaml.safe_load(path.read_text())
        assert ("num_remove" in given) != ("budget" in given)  # one says how many
        assert given.get("num_remove", 1) > 0
        Budget.from_conf(conf["budget"])
    else:
        Budget.from_conf(conf["budget"])
    if conf["method"] == "l0":
        args = read_inline(conf.get("train_conf") or {}, conf.get("distill_conf"))
        assert args.max_epoch < 100


def read_inline(conf, distill=None):
    from espnet_prune.measure.forecast import read_inline as read

    return read({**conf, "distill_conf": distill or {}}, [], len(TOKENS))


@pytest.mark.parametrize("path", RECOVER, ids=name)
def test_recovery_is_understood(path, tmp_path):
    pytest.importorskip("espnet2")
    assert path.read_text().startswith("# ")
    trained = beside(path, CONFIGS)
    if "encoder_conf" in yaml.safe_load(path.read_text()):  # of a model that is there
        from espnet_prune.train.command import merge_configs

        base = next(p for p in trained if criteria(path) <= criteria(p))
        whole = merge_configs(*(yaml.safe_load(p.read_text()) for p in (base, path)))
        path = tmp_path / path.name
        path.write_text(yaml.safe_dump(whole))
    args = read_training(["--config", str(path)])
    assert 0 < args.keep_nbest_models <= args.max_epoch
    # what no training here reports could not choose an epoch
    assert criteria(path)
    assert criteria(path) <= set().union(*map(criteria, trained))


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_every_model_has_a_recovery(path):
    assert any(criteria(path) <= criteria(other) for other in beside(path, RECOVER))


def beside(path, others):
    return [other for other in others if other.parent == path.parent]


@pytest.mark.parametrize("path", DECODE, ids=name)
def test_decoding_is_understood(path):
    pytest.importorskip("espnet2")
    from espnet2.bin.asr_inference import get_parser

    assert path.read_text().startswith("# ")
    conf = yaml.safe_load(path.read_text())
    known = {action.dest for action in get_parser()._actions}
    assert conf["beam_size"] > 0 and set(conf) <= known


CORPORA = ("librispeech", "librispeech_100", "slurp")


@pytest.mark.parametrize("folder", RECIPES, ids=lambda p: "-".join(p.parts[-2:]))
def test_a_recipe_names_what_it_has(folder):
    """Every YAML that run.sh or README.md name is there; all of conf/ is named."""
    texts = [(folder / name).read_text() for name in ("run.sh", "README.md")]
    named = set(re.findall(r"(?<![\w/])conf/(\w+\.yaml)", "\n".join(texts)))
    own = {path.name for path in (folder / "conf").iterdir()}
    assert named <= own
    if folder.parts[-2] in CORPORA and not (folder / "conf").is_symlink():
        assert own == {file for file in own if file in texts[1]}


@pytest.mark.parametrize(
    "folder",
    [EGS2 / "TEMPLATE" / "asr_prune1", *(p for p in RECIPES if p.parts[-2] in CORPORA)],
    ids=lambda p: "-".join(p.parts[-2:]),
)
def test_as_many_files_and_lines_as_espnet_accepts_at_once(folder):
    """A recipe with its links, and what the links lead to, are a contribution each."""
    files = [folder / name for name in tracked(folder)]
    assert 0 < len(files) < 20
    lines = [p.read_text().splitlines() for p in files if not p.is_symlink()]
    assert sum(map(len, lines)) + len(files) < 1000


def tracked(folder):
    """Files and links of a directory, without what runs leave behind.

    Comparisons and their rows are the evidence of here, and no part of a contribution.
    """
    made = ("exp", "dump", "data", "downloads", "__pycache__", "results")
    found = []
    for path in sorted(folder.iterdir()):
        if path.name == "compare.yaml":
            continue
        if path.is_symlink() or path.is_file():
            found.append(path.name)
        elif path.name not in made:
            found += [f"{path.name}/{inner}" for inner in tracked(path)]
    return found

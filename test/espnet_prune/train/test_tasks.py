# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What was cut of a model of any task is trained on by its own task, with a teacher."""

import os
import pickle

import pytest
import torch

from espnet_prune import UserError
from espnet_prune.bin import asr_inference, asr_train, cut, select
from espnet_prune.data.speech import open_speech
from espnet_prune.data.tables import read_table, write_table
from espnet_prune.distill.config import DistillConf
from espnet_prune.distill.hook import distil
from espnet_prune.models import load_model, read_model_config
from espnet_prune.tasks import TASKS, task_of
from espnet_prune.train.checkpoint import load_checkpoint
from espnet_prune.train.model import with_hooks
from espnet_prune.utils import read_yaml, write_yaml
from test.espnet_prune.test_tasks import MODELS, make, pair
from test.espnet_prune.tones import make_data

LONG = bool(os.environ.get("ESPNET_PRUNE_LONG"))
SPECAUG = {"apply_time_warp": False, "time_mask_width_range": [2, 8]}
AUGMENTED = {"specaug": "specaug", "specaug_conf": SPECAUG}
TRAINING = dict(
    distill_conf={"layers": 2, "w_layer": 0.1, "w_ctc": 0.1, "w_att": 0.1},
    optim="adam",
    optim_conf={"lr": 0.02},
    batch_type="unsorted",
    batch_size=4,
    max_epoch=6,
    keep_nbest_models=2,
    best_model_criterion=[["valid", "loss", "min"]],
    num_workers=0,
    use_matplotlib=False,
    use_tensorboard=False,
)
# heads that a model of each task has, and that its teacher has a say in
HEADS = {
    "slu": {"kd_ctc": ["ctc"], "kd_att": ["decoder"]},
    "st": {"kd_ctc": ["ctc", "st_ctc"], "kd_att": ["decoder", "extra_asr_decoder"]},
    "s2t": {"kd_ctc": ["ctc"], "kd_att": ["decoder"]},
    "s2t_ctc": {"kd_ctc": ["ctc"]},
}


def write_data(root):
    """Write tones with what each task has beside text."""
    make_data(root, train=12, valid=4)
    for part in ("train", "valid"):
        text = read_table(root / f"{part}_text")
        spaced = {key: " ".join(letters) for key, letters in text.items()}
        tables = {
            "source": {key: letters[::-1] for key, letters in text.items()},
            "tagged": {
                key: f". <en> <asr> <notimestamps> {words}"
                for key, words in spaced.items()
            },
            "before": dict.fromkeys(text, "A B"),
            "spaced": spaced,
        }
        for name, table in tables.items():
            write_table(root / f"{part}_{name}", table)


def options(root, name, left_out=()):
    """Return the data options of a training of a task."""
    windowed = name.startswith("s2t")
    files = {"speech": "wav.scp", "text": "tagged" if windowed else "text"}
    if windowed:
        files.update(text_prev="before", text_ctc="spaced")
    if name == "st":
        files["src_text"] = "source"
    words = ["--ngpu", "0"]
    for part in ("train", "valid"):
        for key, file in files.items():
            kind = "sound" if key == "speech" else "text"
            if key not in left_out:
                entry = f"{root}/{part}_{file},{key},{kind}"
                words += [f"--{part}_data_path_and_name_and_type", entry]
        words += [f"--{part}_shape_file", f"{root}/{part}_shape"]
    return words


def write_dense(folder, name):
    """Write a model of a task that can be trained on this data."""
    own, more = MODELS[name][1], dict(AUGMENTED)
    if name.startswith("s2t"):  # of word tokens the first is left out
        conf = {**own.get("preprocessor_conf", {}), "text_prev_apply_prob": 1.0}
        more.update(token_type="word", preprocessor_conf=conf)
    if name == "s2t":
        more["model_conf"] = {"ctc_weight": 0.3}
    if name == "st":
        conf = {"st_mtlalpha": 0.3, "report_bleu": False}
        more["model_conf"] = {**own["model_conf"], **conf}
    make(folder, name, **more)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_data(root)
    return root


@pytest.fixture(scope="module", params=sorted(HEADS))
def models(request, tmp_path_factory):
    """Return a task's name, a dense model of it, and the same with less."""
    name, root = request.param, tmp_path_factory.mktemp(request.param)
    write_dense(root / "dense", name)
    conf = {"method": "magnitude", "budget": {"kind": "params", "sparsity": 0.2}}
    write_yaml(conf, root / "select.yaml")
    words = ["--config", str(root / "select.yaml"), *pair(root / "dense")]
    select.main([*words, "--output_dir", str(root / "select")])
    words = [*pair(root / "dense"), "--select_dir", str(root / "select")]
    cut.main([*words, "--trials", "1", "--output_dir", str(root / "cut")])
    return name, root / "dense", root / "cut"


def command(folder, output, config, dense=None, **changes):
    """Return the training of a model, with the dense one as teacher."""
    write_yaml({**TRAINING, **changes}, config)
    words = ["--config", str(config), "--output_dir", str(output)]
    words += ["--base_config", str(folder / "config.yaml")]
    words += ["--init_param", str(folder / "model.pth"), "--resume", "true"]
    return words + (["--teacher_model", str(dense / "model.pth")] if dense else [])


def decode(name, folder, model, data, output):
    """Return the scores of ESPnet's own decoding, as it writes them."""
    task = TASKS[name]
    words = [f"--{task.prefix}_train_config", str(folder / "config.yaml")]
    words += [f"--{task.prefix}_model_file", str(model), "--ngpu", "0"]
    words += ["--data_path_and_name_and_type", f"{data}/valid_wav.scp,speech,sound"]
    words += ["--beam_size", "2"]
    if name != "s2t_ctc":
        words += ["--maxlenratio", "-3"]
    if name.startswith("s2t"):
        words += ["--lang_sym", "<en>", "--task_sym", "<asr>"]
    asr_inference.main(["--task", name, *words, "--output_dir", str(output)])
    return (output / "1best_recog" / "token").read_text().splitlines()


def test_a_cut_model_is_trained_on_and_decodes(models, data, tmp_path):
    name, dense, small = models
    run = command(small, tmp_path / "exp", tmp_path / "train.yaml", dense)
    asr_train.main([*run, *options(data, name)])
    saved = load_checkpoint(tmp_path / "exp/checkpoint.pth")
    seen = saved["reporter"]["stats"][1]["train"]
    assert {"kd_layer", *HEADS[name]} <= seen.keys()
    config = read_yaml(tmp_path / "exp/config.yaml")
    before = read_yaml(small / "config.yaml")
    assert config["encoder"] == before["encoder"] and task_of(config).name == name
    assert config["encoder_conf"] == before["encoder_conf"]
    assert config.get("model") == before.get("model")
    assert config["specaug"] == "specaug"
    best = tmp_path / "exp/valid.loss.ave_2best.pth"
    trained, _ = load_model(tmp_path / "exp/config.yaml", best)
    own = load_model(small / "config.yaml", small / "model.pth")[0]
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (own, trained)]
    assert type(trained) is type(own) and shapes[0] == shapes[1]
    _, batch = batch_of(small / "config.yaml", options(data, name))
    with torch.no_grad():
        before, after = (float(m.eval()(**batch)[0]) for m in (own, trained))
    assert after < before
    lines = decode(name, tmp_path / "exp", best, data, tmp_path / "decoded")
    assert len(lines) == 4
    # what was saved is not overwritten by a model of another structure
    run = command(dense, tmp_path / "exp", tmp_path / "train.yaml", dense)
    with pytest.raises(UserError, match="holds a training of another structure"):
        asr_train.main([*run, *options(data, name)])


def batch_of(config, words):
    """Return utterances of the options of a training, as their own task reads them."""
    entries = [
        tuple(entry.split(","))
        for option, entry in zip(words, words[1:])
        if option == "--train_data_path_and_name_and_type"
    ]
    table, collate = open_speech(entries, read_model_config(config), labels=True)
    return collate([table[key] for key in list(table)[:4]])


def test_a_copy_of_the_teacher_has_nothing_to_learn(models, data):
    """SpecAugment is on: what one model saw is what the other one was given."""
    name, dense, _ = models
    files = [dense / "config.yaml", dense / "model.pth"]
    student, teacher = (load_model(*files)[0] for _ in range(2))
    _, batch = batch_of(files[0], options(data, name))
    student = with_hooks(student)
    distil(student, teacher, DistillConf.from_dict({"layers": 2}))
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout_rate"):
            module.dropout_rate = 0.0
    student.train()
    torch.manual_seed(0)
    kept = {key: value.clone() for key, value in batch.items()}
    stats = student(**batch)[1]
    assert all(torch.equal(batch[key].abs(), kept[key].abs()) for key in batch)
    for loss in ("kd_layer", *HEADS[name]):
        assert float(stats[loss]) == pytest.approx(0.0, abs=1e-6), loss
    assert set(stats) >= {"loss", "loss_total"}
    # in training mode, or with features of its own, a teacher says something else
    assert not teacher.training and teacher.specaug is None
    # all that are named have a say
    for loss, heads in HEADS[name].items():
        for head in heads:
            part = getattr(student, head)
            with torch.no_grad():
                weight = getattr(part, "ctc_lo", None) or part.output_layer
                weight.weight.mul_(3.0)
            torch.manual_seed(0)
            assert float(student(**batch)[1][loss]) > 1e-5, head
            with torch.no_grad():
                weight.weight.div_(3.0)


def test_its_data_is_what_it_needs(models, data, tmp_path):
    name, dense, small = models
    run = command(small, tmp_path / "exp", tmp_path / "train.yaml", dense)
    for missing in TASKS[name].labels(read_model_config(small / "config.yaml")):
        with pytest.raises(UserError, match=f"no {missing} among .*,{missing},text"):
            asr_train.main([*run, *options(data, name, left_out=[missing])])
    assert not (tmp_path / "exp").exists()


def test_a_spawned_process_finds_the_class(models):
    from espnet_prune.train import task as module

    name = models[0]
    kind = module.task_class(name)
    stock = TASKS[name].espnet_class()
    assert issubclass(kind, stock) and kind.trainer is module.PruneTrainer
    assert kind.build_collate_fn.__func__ is stock.build_collate_fn.__func__
    assert kind.build_preprocess_fn.__func__ is stock.build_preprocess_fn.__func__
    said = pickle.dumps(kind.main_worker)
    vars(module).pop(kind.__name__)  # as where nobody has asked for it
    assert issubclass(pickle.loads(said).__self__, stock)


@pytest.mark.parametrize("name", ["s2t_ctc", "st"] if LONG else ["st"])
def test_gates_choose_in_a_training_of_the_task(name, data, tmp_path):
    write_dense(tmp_path / "dense", name)
    own = {key: value for key, value in TRAINING.items() if key != "distill_conf"}
    conf = {"method": "l0", "budget": {"kind": "params", "sparsity": 0.2}}
    conf["l0_conf"] = {"ramp_steps": 20, "extra_steps": 0, "gate_lr": 0.65}
    conf.update(
        train_conf={**own, "batch_size": 2, "max_epoch": 4}, distill_conf={"layers": 2}
    )
    write_yaml(conf, tmp_path / "l0.yaml")
    words = ["--config", str(tmp_path / "l0.yaml"), *pair(tmp_path / "dense")]
    words += ["--output_dir", str(tmp_path / "select"), *options(data, name)]
    select.main([*words, "--task", name])
    words = [*pair(tmp_path / "dense"), "--select_dir", str(tmp_path / "select")]
    cut.main([*words, "--trials", "1", "--output_dir", str(tmp_path / "cut")])
    config = read_yaml(tmp_path / "cut/config.yaml")
    assert task_of(config).name == name and config["encoder"].startswith("pruned_")
    load_model(tmp_path / "cut/config.yaml", tmp_path / "cut/model.pth")

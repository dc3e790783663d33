# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Models of every task of ESPnet that has an encoder to prune go through the commands.

Each is built by ESPnet's own task from the config.yaml that this task writes.
"""

import argparse
import json

import pytest
import soundfile
import torch
import yaml

from espnet_prune import UserError, cost
from espnet_prune.bin import asr_inference, asr_train, check_model
from espnet_prune.bin import cost as cost_command
from espnet_prune.bin import cut, select, verify
from espnet_prune.data.speech import load_utterance, open_speech
from espnet_prune.families import name_in
from espnet_prune.measure.recognition import measure_recognition
from espnet_prune.models import load_model, read_model_config
from espnet_prune.tasks import TASKS, task_of
from espnet_prune.utils import read_json, read_yaml, write_yaml
from test.espnet_prune.tones import TOKENS, make_data

FRONTEND = {"fs": 16000, "n_fft": 64, "hop_length": 160, "n_mels": 12}
SIZES = dict(output_size=8, attention_heads=2, linear_units=12, num_blocks=2)
DECODER = dict(attention_heads=2, linear_units=8, num_blocks=1)
BRANCHES = dict(
    output_size=8,
    attention_heads=2,
    cgmlp_linear_units=12,
    cgmlp_conv_kernel=3,
    num_blocks=2,
    input_layer="conv2d8",
)
TAGS = ["<sos>", "<eos>", "<sop>", "<na>", "<nospeech>", "<notimestamps>"]
TAGS += ["<0.00>", "<30.00>", "<en>", "<asr>"]
SPEECH = {
    "token_list": TOKENS,
    "token_type": "char",
    "frontend_conf": FRONTEND,
    "encoder": "transformer",
    "encoder_conf": SIZES,
    "decoder": "transformer",
    "decoder_conf": DECODER,
}
WAVES = dict(norm_mode="group_norm", conv_mode="standard", bias=False)
WAVES["shapes"] = [[6, 10, 5], [6, 8, 8], [6, 8, 8]]
# seconds that every utterance is brought to, and the tokens around its text
WINDOW = dict(
    fs=16000,
    speech_length=2,
    speech_resolution=0.02,
    notime_symbol="<notimestamps>",
    first_time_symbol="<0.00>",
    last_time_symbol="<30.00>",
)
# name of a model -> its task, and what its config.yaml says of its own
MODELS = {
    "asr": ("asr", {}),
    "transducer": (
        "asr",
        dict(
            decoder="transducer",
            decoder_conf={"rnn_type": "lstm", "hidden_size": 8},
            joint_net_conf={"joint_space_size": 8},
        ),
    ),
    "asr_transducer": (
        "asr_transducer",
        dict(
            encoder_conf=dict(
                body_conf=[
                    dict(
                        block_type=kind,
                        hidden_size=8,
                        heads=2,
                        linear_size=40,
                        conv_mod_kernel_size=3,
                        num_blocks=2,
                    )
                    for kind in ("conformer", "ebranchformer")
                ],
            ),
            decoder="stateless",
            decoder_conf={"embed_size": 8},
            joint_network_conf={"joint_space_size": 8},
            normalize="utterance_mvn",
        ),
    ),
    "slu": ("slu", dict(model_conf={"ctc_weight": 0.5})),
    "st": (
        "st",
        dict(
            src_token_list=TOKENS,
            src_token_type="char",
            extra_asr_decoder="transformer",
            extra_asr_decoder_conf=DECODER,
            extra_mt_decoder_conf={"num_blocks": 1},
            model_conf={"asr_weight": 0.3, "mtlalpha": 0.5},
        ),
    ),
    "s2t": ("s2t", dict(token_list=[*TOKENS[:-1], *TAGS], preprocessor_conf=WINDOW)),
    "s2t_ctc": (
        "s2t_ctc",
        dict(
            token_list=[*TOKENS[:-1], *TAGS, "<nolang>"],
            frontend_conf={**FRONTEND, "n_mels": 20},
            preprocessor="s2t_ctc",
            preprocessor_conf=dict(fs=16000, speech_length=2),
            model="espnet_ctc",
            encoder="e_branchformer_ctc",
            encoder_conf=BRANCHES,
            promptencoder_conf=SIZES,
        ),
    ),
    "cls": ("cls", dict(decoder="linear", decoder_conf={})),
    "mt": (
        "mt",
        dict(
            frontend="embed",
            frontend_conf={"embed_dim": 8},
            src_token_list=TOKENS,
            src_token_type="char",
            encoder_conf={**SIZES, "input_layer": None},
        ),
    ),
    "diar": (
        "diar",
        dict(
            decoder="linear",
            decoder_conf={},
            encoder_conf={**SIZES, "input_layer": "linear"},
            num_spk=2,
        ),
    ),
    "ssl": (
        "ssl",
        dict(
            frontend_conf=WAVES,
            preencoder_conf={"output_size": 8},
            encoder_conf={**SIZES, "input_layer": None},
            loss=[{"name": "hubert", "conf": {"num_classes": 6, "final_dim": 4}}],
            util=[{"name": "mask", "conf": {"encoder_embed_dim": 8}}],
        ),
    ),
}


def make(folder, name, **more):
    """Write an experiment as ESPnet's task would; `more` is of its config.yaml."""
    if name == "cls":
        pytest.importorskip("torcheval", reason="pip install torcheval")
    task, own = MODELS[name]
    stock = TASKS[task].espnet_class()
    known = vars(stock.get_parser().parse_args([]))
    given = {k: v for k, v in {**SPEECH, **own, **more}.items() if k in known}
    args = argparse.Namespace(**{**known, **given})
    torch.manual_seed(0)
    model = stock.build_model(args)
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(vars(args), folder / "config.yaml")
    torch.save(model.state_dict(), folder / "model.pth")
    return type(model), model.state_dict()


@pytest.fixture(scope="module", params=MODELS)
def exp(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    kind, state = make(folder, request.param)
    return request.param, folder, kind, state


def pair(folder):
    return [
        *("--model_config", str(folder / "config.yaml")),
        *("--model_file", str(folder / "model.pth")),
    ]


def test_it_loads_whole(exp, capsys):
    name, folder, kind, state = exp
    model, config = load_model(folder / "config.yaml", folder / "model.pth")
    assert type(model) is kind and task_of(config) is TASKS[MODELS[name][0]]
    own = model.state_dict()
    assert all(torch.equal(own[key], value) for key, value in state.items())
    check_model.main([*pair(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["tensors"] == len(state)
    key = sorted(state)[0]
    torch.save({k: v for k, v in state.items() if k != key}, folder / "bad.pth")
    with pytest.raises(UserError, match=f"bad.pth lacks {key}"):
        load_model(folder / "config.yaml", folder / "bad.pth")


def test_it_is_priced(exp, capsys):
    _, folder, _, _ = exp
    cost_command.main([*pair(folder)[:2], "--json"])
    found = json.loads(capsys.readouterr().out)
    model, _ = load_model(folder / "config.yaml", folder / "model.pth")
    size = sum(p.numel() for p in model.encoder.parameters())
    assert found["encoder_params"] == size == cost(model.encoder).params
    assert found["total_params"] == sum(p.numel() for p in model.parameters())


def test_its_encoder_is_cut_and_verified(exp, tmp_path):
    name, folder, kind, state = exp
    verify.main([*pair(folder), "--structures", "1", "--trials", "1"])
    conf = {"method": "magnitude", "budget": {"kind": "params", "sparsity": 0.2}}
    write_yaml(conf, tmp_path / "select.yaml")
    words = ["--config", str(tmp_path / "select.yaml"), *pair(folder)]
    select.main([*words, "--output_dir", str(tmp_path / "select")])
    words = [*pair(folder), "--select_dir", str(tmp_path / "select"), "--trials", "2"]
    cut.main([*words, "--output_dir", str(tmp_path / "cut")])
    assert read_json(tmp_path / "cut/verify.json")["equal"]
    small, config = load_model(tmp_path / "cut/config.yaml", tmp_path / "cut/model.pth")
    assert type(small) is kind
    family = MODELS[name][1].get("encoder", "transformer")
    stock = "body_conf" if name == "asr_transducer" else f"pruned_{family}"
    assert name_in(config) == stock
    before = cost(load_model(folder / "config.yaml", folder / "model.pth")[0].encoder)
    assert 0.7 < cost(small.encoder).params / before.params <= 0.8
    left = {key for key in state if not key.startswith("encoder.")}
    assert left == {k for k in small.state_dict() if not k.startswith("encoder.")}


@pytest.mark.parametrize("name", ["slu", "st", "s2t"])
def test_it_decodes(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, name)
    make_data(tmp_path / "data", valid=1)
    task = TASKS[name]
    words = [f"--{name}_train_config", "config.yaml", "--ngpu", "0"]
    words += [f"--{name}_model_file", "model.pth", "--beam_size", "1"]
    words += ["--data_path_and_name_and_type", "data/valid_wav.scp,speech,sound"]
    words += ["--maxlenratio", "-3"]
    if name == "s2t":
        words += ["--lang_sym", "<en>", "--task_sym", "<asr>"]
    asr_inference.main(["--task", name, *words, "--output_dir", "out"])
    assert (tmp_path / "out/1best_recog/score").read_text().startswith("valid0 ")
    asr_inference.main(
        ["--task", name, *words, "--keep_blocks", "1", "--output_dir", "less"]
    )
    scores = [(tmp_path / d / "1best_recog/score").read_text() for d in ("out", "less")]
    assert scores[0] != scores[1]
    options = {"beam_size": 1, "maxlenratio": -3.0, "lang_sym": "<en>"}
    files = {"dense": ("config.yaml", "model.pth")}
    times = measure_recognition(files, options, runs=1)["times"]["dense"]
    assert times["beam"] > times["encoder"] > 0 and times["decoder"] > 0
    other = [w.replace(f"--{name}_", "--asr_") for w in words if "_sym" not in w]
    other = [w for w in other if w not in ("<en>", "<asr>")]
    with pytest.raises(UserError, match=f"a model of task {name}; give --task {name}"):
        asr_inference.main([*other, "--output_dir", "wrong"])
    module = task.decoding_module()
    assert getattr(module, task.decoder).__module__ == module.__name__


@pytest.mark.parametrize("name", ["slu", "st", "s2t"])
def test_its_speech_is_read_by_its_own_task(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, name)
    make_data(tmp_path / "data", valid=1)
    entries = [("data/valid_wav.scp", "speech", "sound")]
    config = read_model_config("config.yaml")
    data, _ = open_speech(entries, config, labels=False)
    length = len(load_utterance(data, "valid0")[1]["speech"])
    samples = len(soundfile.read("data/valid0.wav")[0])
    assert length == (2 * 16000 if name == "s2t" else samples)


def test_blocks_are_not_judged_by_a_ctc_of_something_else(tmp_path):
    make(tmp_path, "st")
    conf = {"method": "layers", "num_remove": 1}
    for search in ("iterative", "truncate"):
        write_yaml({**conf, "layers_conf": {"search": search}}, tmp_path / "conf.yaml")
        words = ["--config", str(tmp_path / "conf.yaml"), *pair(tmp_path)]
        words += ["--output_dir", str(tmp_path / search)]
        if search == "truncate":
            select.main(words)
        else:
            with pytest.raises(UserError, match="task st does not spell the text"):
                select.main(words)


def test_a_task_that_is_said_goes_before_what_it_looks_like(tmp_path, capsys):
    make(tmp_path, "slu")
    config = tmp_path / "config.yaml"
    found = read_yaml(config)
    for key in ("deliberationencoder", "postdecoder", "transcript_token_list"):
        for name in (key, f"{key}_conf"):
            found.pop(name, None)
    write_yaml(found, config)
    files = config, tmp_path / "model.pth"
    assert type(load_model(*files)[0]).__name__ == "ESPnetASRModel"
    model, args = load_model(*files, task="slu")
    assert type(model).__name__ == "ESPnetSLUModel" and args["task"] == "slu"
    commands = [*pair(tmp_path), "--task", "slu"]
    check_model.main(commands)
    verify.main([*commands, "--structures", "1", "--trials", "1"])
    cost_command.main([*commands[:2], "--task", "slu", "--json"])
    assert str(sum(p.numel() for p in model.parameters())) in capsys.readouterr().out
    write_yaml({**found, "task": "slu"}, config)
    assert type(load_model(*files)[0]).__name__ == "ESPnetSLUModel"
    with pytest.raises(UserError, match="--task: task: unknown key 'sluu' .* 'slu'"):
        load_model(*files, task="sluu")


@pytest.mark.parametrize("name", ["mt", "ssl"])
def test_a_training_that_is_not_ours_is_named(name, tmp_path):
    make(tmp_path, name)
    words = ["--base_config", str(tmp_path / "config.yaml"), "--output_dir", "out"]
    with pytest.raises(UserError, match=f"task {name} cannot be trained here; .*_tra"):
        asr_train.main(words)


@pytest.mark.parametrize("task", ["lm", "enh_s2t", "hubert"])
def test_a_task_without_anything_to_prune_is_named(task, tmp_path):
    import importlib

    import espnet_prune

    espnet_prune.register()
    module = importlib.import_module(f"espnet2.tasks.{task}")
    names = {"lm": "LMTask", "enh_s2t": "EnhS2TTask", "hubert": "HubertTask"}
    stock = getattr(module, names.get(task, f"{task.upper()}Task"))
    known = vars(stock.get_parser().parse_args([]))
    text = yaml.safe_dump(json.loads(json.dumps(known, default=str)))
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=f"config.yaml: a model of task {task} has no"):
        read_model_config(tmp_path / "config.yaml")

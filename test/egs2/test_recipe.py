# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The recipe's shell, with a stand-in for Python that records how it is called."""

import ast
import os
import re
import subprocess
import sys

import pytest

from test.egs2.stand_in import EGS2, TEMPLATE, calls, run, stages

RUN = sorted(EGS2.glob("*/*_prune1/run.sh"))


def test_all_stages_then_none_again(recipe):
    done = run(recipe)
    assert done.returncode == 0, done.stdout
    assert stages(done.stdout) == [list(range(1, 23)), []]
    text = "\n".join(calls(recipe))
    for name in ("select", "cut", "cost", "report", "score", "asr_inference"):
        assert f"-m espnet_prune.bin.{name} " in text
    assert "1epoch results: fine" in done.stdout  # progress is shown

    done = run(recipe)
    assert done.returncode == 0, done.stdout
    finished = [*range(1, 6), *range(10, 20)]
    assert stages(done.stdout)[1] == finished
    asked = {line.split()[1].split(".")[-1] for line in calls(recipe)}
    assert asked == {
        "audio_state",
        "decode_jobs",
        "needs",
        "report",
    }  # has anything changed?


def test_deploying_on_request(recipe):
    """The files of the final model, and what they make of every test set."""
    words = ["--stage", "20", "--stop_stage", "20", "--skip_deploy", "false"]
    done = run(recipe, *words)
    assert done.returncode == 2 and "is missing: run the earlier" in done.stdout
    assert run(recipe, "--stop_stage", "19").returncode == 0
    calls(recipe)
    words += ["--deploy_args", "--max_wer_loss 0.3"]
    done = run(recipe, *words)
    assert done.returncode == 0, done.stdout
    lines = [line for line in calls(recipe) if " -m " in f" {line}"]
    told = [line.split("espnet_prune.bin.")[-1] for line in lines]
    told = [line for line in told if line.startswith(("deploy", "transcribe", "score"))]
    exp = "exp/asr_train_asr_raw_bpe30_prune"
    text = f"{exp}/decode_asr_asr_model_valid.acc.ave"
    assert told[0] == (
        f"deploy --model {exp}/valid.acc.ave.pth --inference_config "
        f"conf/decode_asr.yaml --calibration dump/raw/dev --output_dir {exp}/deploy "
        "--max_wer_loss 0.3"
    )
    for name, line in zip(("dev", "test"), told[1:]):
        audio = f"dump/raw/{name}/wav.scp"
        place = f"{text}_onnx/{name}/text"
        assert line == f"transcribe {exp}/deploy {audio} --output {place}"
    assert f"--hyp {text}_onnx" in told[3] and len(told) == 4
    again = run(recipe, *words)
    assert "Stage 20: Deploy: finished before" in again.stdout


def test_a_blank_in_every_path(recipe):
    """Of the data, the experiments, and a dense model from elsewhere."""
    paths = ["--dumpdir", "my dump", "--expdir", "my exp", "--data_dir", "my corpus"]
    done = run(recipe, *paths, "--stop_stage", "13")
    assert done.returncode == 0, done.stdout
    stats = "my exp/asr_stats_raw_bpe30/train"
    assert f"--train_shape_file {stats}/speech_shape" in "".join(calls(recipe))
    assert {p.name for p in recipe.iterdir() if p.is_dir()} >= {"my dump", "my exp"}
    assert not (recipe / "my").exists() and not (recipe / "exp").exists()
    dense = recipe / "else where" / "asr_x"
    dense.mkdir(parents=True)
    for name in ("config.yaml", "valid.acc.ave.pth"):
        (dense / name).write_text("{}")
    options = ("--stage", "15", "--stop_stage", "17", "--dense_exp", str(dense))
    done = run(recipe, *paths, *options)
    assert done.returncode == 0, done.stdout
    train = next(line for line in calls(recipe) if "bin.asr_train" in line)
    assert f"--teacher_config {dense}/config.yaml --teacher_model {dense}/" in train


def test_options_of_options_keep_blanks_in_quotes(recipe):
    """And so does a Python whose path has one; configurations may lie anywhere."""
    (recipe / "my conf").mkdir()
    for name in ("prune", "recover"):
        (recipe / "conf" / f"{name}.yaml").rename(recipe / "my conf" / f"{name}.yaml")
    python = recipe / "my python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} fake.py "$@"\n')
    python.chmod(0o755)
    options = ["--data_dir", "corpus", "--python", "./my python"]
    for name in ("prune", "recover"):
        options += [f"--{name}_config", f"my conf/{name}.yaml"]
        options += [f"--{name}_args", f"--init_param 'my {name}.pth' --max_epoch 3"]
    done = run(recipe, *options, "--asr_args", '--init_param "a b.pth"', stand_in=False)
    assert done.returncode == 0, done.stdout
    lines = map(ast.literal_eval, (recipe / "words.txt").read_text().splitlines())
    given = [
        line[line.index("--init_param") :]
        for line in lines
        if "asr_train" in line[1] or "select" in line[1]
    ]
    assert ["--init_param", "a b.pth"] in given
    for name in ("prune", "recover"):
        words = ["--init_param", f"my {name}.pth", "--max_epoch", "3"]
        assert any(line[-4:] == words for line in given), name
    done = run(recipe, "--asr_args", "--init_param 'a b", "--asr_tag", "x")
    assert done.returncode == 2 and "has a quote that is not closed" in done.stdout


def test_other_audio_redoes_statistics_training_and_decoding(recipe):
    """The same ids, texts, and paths; first in the dump, then in the corpus."""
    for n in (1, 2):
        (recipe / f"{n}.wav").write_text("audio")
    assert run(recipe, "--stop_stage", "5").returncode == 0
    spk = recipe / "dump/raw/test/utt2spk"
    spk.write_text("u1 a\nu2 a\n")
    again = ("--stage", "10", "--stop_stage", "13")
    assert stages(run(recipe, *again).stdout) == [[10, 11, 12, 13], []]
    assert stages(run(recipe, *again).stdout) == [[], [10, 11, 12, 13]]
    spk.write_text("u1 a\nu2 b\n")
    assert stages(run(recipe, *again).stdout) == [[13], [10, 11, 12]]
    (recipe / "2.wav").write_text("other")  # as long as it was
    os.utime(recipe / "2.wav", (1, 1))
    assert stages(run(recipe, *again).stdout) == [[10, 11, 12, 13], []]
    assert (recipe / "exp/asr_train_asr_raw_bpe30/old.1/checkpoint.pth").exists()

    (recipe / "corpus" / "train").mkdir(parents=True)
    (recipe / "corpus/train/wav.scp").write_text("u1\ttrain/1.wav\n")
    first = ("--stop_stage", "1")
    assert stages(run(recipe, *first).stdout) == [[1], []]
    (recipe / "corpus/train/1.wav").write_text("audio")
    assert stages(run(recipe, *first).stdout) == [[1], []]
    assert stages(run(recipe, *first).stdout) == [[], [1]]


def test_what_is_decoded_is_not_what_training_has_filtered(recipe):
    assert run(recipe, "--stop_stage", "13").returncode == 0
    lines = calls(recipe)
    train = next(line for line in lines if "bin.asr_train --ngpu" in line)
    assert "dump/raw/filtered/dev/wav.scp,speech,sound" in train
    split = next(line for line in lines if "split" in line and "--by_set" not in line)
    assert "--sets dev test" in split
    scored = next(line for line in lines if "bin.score" in line)
    assert "--model_config exp/asr_train_asr_raw_bpe30/config.yaml" in scored
    options = ("--stage", "10", "--stop_stage", "11", "--test_sets", "test")
    assert run(recipe, *options).returncode == 0
    train = next(line for line in calls(recipe) if "bin.asr_train --ngpu" in line)
    assert "dump/raw/dev/wav.scp,speech,sound" in train


def test_use_intent_reaches_the_commands(recipe):
    """Tokens, training and both scorings know of it; without it nobody does."""

    def told(lines):
        names = ("--nlsyms_txt data/intents.txt", "--use_intent")
        names += ("--non_linguistic_symbols data/intents.txt",)
        return [[x.split()[1] for x in lines if name in x] for name in names]

    done = run(recipe, "--use_intent", "true")
    assert done.returncode == 0, done.stdout
    assert (recipe / "data/intents.txt").read_text() == "go\nset\n"
    data, scored, trained = told(calls(recipe))
    assert data == ["espnet_prune.bin.data_prep"] * 5
    assert scored == ["espnet_prune.bin.score"] * 3
    # statistics and dense training; what comes after has it from the dense config
    assert trained == ["espnet_prune.bin.asr_train"] * 3
    done = run(recipe)
    assert done.returncode == 0, done.stdout
    assert {1, 5, 12, 13, 18, 19} <= set(stages(done.stdout)[0])
    lines = calls(recipe)
    assert told(lines) == [[], [], []] and "bin.score" in "".join(lines)


def test_a_changed_config_redoes_what_depends_on_it(recipe):
    assert run(recipe).returncode == 0
    (recipe / "conf" / "recover.yaml").write_text("name: other\n")
    out = run(recipe).stdout
    assert stages(out)[1] == [*range(1, 6), *range(10, 17), 18, 19]
    old = recipe / "exp/asr_train_asr_raw_bpe30_prune/old.1"
    assert (old / "checkpoint.pth").exists()  # kept, and not resumed from
    assert not (old / "cut").exists()

    (recipe / "conf" / "decode_asr.yaml").write_text("name: other\n")
    out = run(recipe).stdout
    assert not {12, 13, 18, 19} & set(stages(out)[1])
    assert {10, 11, 14, 15, 16, 17} <= set(stages(out)[1])


def test_a_mark_that_was_not_written_is_no_other_configuration(recipe):
    """A kill came between making the file and writing to it."""
    assert run(recipe, "--stop_stage", "10").returncode == 0
    dense = recipe / "exp/asr_train_asr_raw_bpe30"
    dense.mkdir()
    (dense / "checkpoint.pth").write_text("kept")
    (dense / ".begun_stage11").touch()
    done = run(recipe, "--stop_stage", "11")
    assert done.returncode == 0 and "earlier result" not in done.stdout
    assert not list(dense.glob("old.*")) and (dense / ".begun_stage11").read_text()
    assert not list(dense.glob(".*.tmp"))


def test_stage_stop_stage_and_skip_stages(recipe):
    assert run(recipe, "--stop-stage", "5").returncode == 0
    calls(recipe)
    options = ("--stage", "10", "--stop_stage", "13", "--skip-stages", "12")
    done = run(recipe, *options)
    assert done.returncode == 0, done.stdout
    assert stages(done.stdout) == [[10, 11, 13], []]


def test_stage_14_starts_from_a_model_one_has(recipe):
    dense = recipe / "elsewhere" / "asr_x"
    dense.mkdir(parents=True)
    for name in ("config.yaml", "valid.acc.ave.pth"):
        (dense / name).write_text("{}")
    options = ("--dense_exp", "elsewhere/asr_x", "--test_sets", "test")
    done = run(recipe, "--stage", "14", "--stop_stage", "19", *options)
    assert done.returncode == 0, done.stdout
    assert "elsewhere/asr_x is not decoded (stage 12)" in done.stdout
    lines = calls(recipe)
    assert not [line for line in lines if "--against" in line]
    select = next(line for line in lines if "bin.select" in line)
    assert "--model_config elsewhere/asr_x/config.yaml" in select
    train = next(line for line in lines if "bin.asr_train" in line)
    assert "--teacher_model elsewhere/asr_x/valid.acc.ave.pth" in train
    (recipe / "conf" / "recover.yaml").write_text("name: no_teacher\n")
    run(recipe, "--stage", "17", "--stop_stage", "17", *options)
    assert "--teacher_model" not in "".join(calls(recipe))
    # a model from elsewhere is never trained over
    done = run(recipe, *options)
    assert done.returncode == 0, done.stdout
    assert 11 not in stages(done.stdout)[0]
    # both the cut and the recovered model, now that the dense one is decoded
    assert sum("--against" in line for line in calls(recipe)) == 2
    assert (dense / "config.yaml").read_text() == "{}"
    assert not (dense / "checkpoint.pth").exists()


def test_a_model_from_elsewhere_on_data_of_ones_own(recipe):
    """Stage 10 counts tokens as the model does; what trains nothing needs no data."""
    dense = recipe / "elsewhere" / "asr_x"
    dense.mkdir(parents=True)
    for name in ("config.yaml", "valid.acc.ave.pth"):
        (dense / name).write_text(f"name: {name}\n")
    (recipe / "conf" / "prune.yaml").write_text("method: magnitude\n")
    options = ("--dense_exp", "elsewhere/asr_x", "--recover_config", "none")
    done = run(recipe, *options, "--stop_stage", "17")
    assert done.returncode == 0, done.stdout
    assert 10 in stages(done.stdout)[0] and 11 not in stages(done.stdout)[0]
    lines = calls(recipe)
    counted = next(line for line in lines if "--collect_stats true" in line)
    assert "--base_config elsewhere/asr_x/config.yaml" in counted
    assert "--token_list" not in counted and "conf/train_asr.yaml" not in counted
    stats = "exp/asr_stats_raw_bpe30_for_asr_x"
    assert f"--output_dir {stats}/logdir/stats." in counted
    (taken,) = [line for line in lines if "bin.link_dense" in line]
    sets = "--train_dir dump/raw/train --valid_dir dump/raw/dev"
    assert f"{sets} --stats_dir {stats}" in taken
    assert not [line for line in lines if "bin.data_args" in line]
    # those of the model, if that is wished
    done = run(recipe, *options, "--own_data", "false", "--stage", "10")
    assert done.returncode == 0 and 10 not in stages(done.stdout)[0]
    assert "--train_dir" not in "".join(calls(recipe))
    # and those of a model that was recovered here, which is pruned once more
    (dense / ".begun_stage17").touch()
    done = run(recipe, *options, "--stage", "10")
    assert done.returncode == 0 and 10 not in stages(done.stdout)[0]
    assert "--train_dir" not in "".join(calls(recipe))


@pytest.mark.parametrize(
    "options, message",
    [
        (("--stgae", "3"), "unknown option '--stgae', the nearest is --stage"),
        (("--prune-confg", "x"), "the nearest is --prune_config"),
        (("--stage", "ten"), "--stage takes a number, not 'ten'"),
        (("--gpu_inference", "1"), "--gpu_inference takes true or false"),
        (("--nj",), "--nj needs a value"),
        (("10",), "unexpected argument '10'"),
        (("--token_type", "phn"), "--token_type phn is not there"),
        (("--use_intent", "yes"), "--use_intent takes true or false"),
        (("--own_data", "yes"), "--own_data takes true or false, not 'yes'"),
    ],
)
def test_bad_options(recipe, options, message):
    done = run(recipe, *options, stand_in=False)
    assert done.returncode == 2
    assert message in done.stdout
    assert not (recipe / "exp").exists()


def test_a_dry_run_needs_no_data_and_runs_no_stage(recipe):
    options = (
        "--dry_run",
        "true",
        "--hours",
        "90",
        "--speed_perturb_factors",
        "0.9 1.0",
    )
    options += ("--asr_args", "--max_epoch 3", "--dry_run_args", "--tflops 20")
    done = run(recipe, *options)
    assert done.returncode == 0, done.stdout
    (line,) = calls(recipe)
    words = line.split()
    assert words[1] == "espnet_prune.bin.dry_run"
    given = dict(zip(words[2::2], words[3::2]))
    assert given["--recover_config"] == "conf/recover.yaml"
    assert (given["--vocab"], given["--ngpu"], given["--hours"]) == ("30", "1", "190")
    assert "--asr_args=--max_epoch 3 " in line and line.endswith("--tflops 20")
    assert stages(done.stdout) == [[], []] and not (recipe / "exp").exists()
    tokens = recipe / "tokens.txt"
    tokens.write_text("a\nb\n")
    options = ("--recover_config", "none", "--token_list", "tokens.txt", "--ngpu", "4")
    assert run(recipe, "--dry_run", "true", *options).returncode == 0
    (line,) = calls(recipe)
    assert "--vocab 2 --ngpu 4" in line and "--recover_config" not in line
    assert "--hours" not in line


def test_help_lists_every_option(recipe):
    done = run(recipe, "--help", stand_in=False)
    assert done.returncode == 0
    assert "usage: ./run.sh" in done.stdout
    script = (TEMPLATE / "prune.sh").read_text()
    block = script[script.index("# options") : script.index("# end of options")]
    names = re.findall(r"^([a-z_]+)=", block, re.M)
    assert len(names) > 30
    for name in names:
        assert f"--{name} " in done.stdout


def test_missing_input_is_told(recipe):
    done = run(recipe, "--stage", "16", "--stop_stage", "16")
    assert done.returncode == 2
    assert "select/structure.json is missing" in done.stdout
    dense = recipe / "exp/asr_train_asr_raw_bpe30"
    dense.mkdir(parents=True)
    (dense / "valid.loss.ave.pth").touch()
    done = run(recipe, "--stage", "14", "--stop_stage", "14")
    assert done.returncode == 2
    assert "or name one of those that are there (--inference_asr_model): valid.l" in (
        done.stdout
    )
    done = run(recipe, "--data_dir", "", stand_in=False)
    assert done.returncode == 2
    assert "need --data_dir CORPUS, or an ESPnet checkout: git clone" in done.stdout


def test_a_commands_own_error_ends_the_run_with_2(recipe):
    assert run(recipe, "--stop_stage", "10").returncode == 0
    (recipe / "fail").write_text("")
    done = run(recipe, "--stage", "11", "--stop_stage", "11")
    assert done.returncode == 2
    assert "espnet_prune: error: conf: unknown key 'lrr'" in done.stdout
    (recipe / "fail").unlink()  # the stage is not finished, so it runs again
    done = run(recipe, "--stage", "11", "--stop_stage", "11")
    assert (done.returncode, stages(done.stdout)) == (0, [[11], []])


@pytest.mark.parametrize("script", RUN, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_run_sh_is_short_and_passes_options_on(script):
    folder = script.parent
    script = script.read_text()
    assert len(script.splitlines()) <= 25
    assert script.rstrip().endswith('"$@"')
    command = ["./run.sh", "--stage", "6", "--stop_stage", "9"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no language model is wanted") == 4
    for name in set(re.findall(r"conf/\w+\.yaml", script)):
        assert (folder / name).is_file(), name


def test_prune_sh_is_below_300_lines():
    assert len((TEMPLATE / "prune.sh").read_text().splitlines()) < 300

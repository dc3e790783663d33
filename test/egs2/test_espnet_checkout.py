# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Stages 1-9 by a checkout of ESPnet: by a stand-in, and where there is one, by it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from test.egs2.stand_in import EGS2, ROOT, calls, run

SETS = ("--train_set", "tr", "--valid_set", "cv", "--test_sets", "a b")
# plays run.sh and asr.sh: notes its options, one a line, and leaves what stages leave
RUN_SH = r"""#!/usr/bin/env bash
set -eu
stage=$2
printf '%s\n' "$@" > "given.${stage}"
while [ $# -gt 0 ]; do declare "${1#--}=$2"; shift 2; done
case "${stage}" in
    3) mkdir -p "${dumpdir}/raw/tr" && touch "${dumpdir}/raw/tr/text" ;;
    4) echo "u1 x" > "${dumpdir}/raw/lm_train.txt" ;;
    5) mkdir -p data/token_list/char && touch data/token_list/char/tokens.txt ;;
    7)
        mkdir -p "${lm_exp}"
        touch "${lm_exp}/config.yaml" "${lm_exp}/${inference_lm}" ;;
    9) mkdir -p "${expdir}/ngram" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder with what of a checkout the recipes look at."""
    root = tmp_path / "espnet"
    (root / "egs2" / "TEMPLATE" / "asr1").mkdir(parents=True)
    (root / "egs2" / "TEMPLATE" / "asr1" / "asr.sh").write_text("")
    corpus = root / "egs2" / "toy" / "asr1"
    (corpus / "local").mkdir(parents=True)
    (corpus / "run.sh").write_text(RUN_SH)
    (corpus / "run.sh").chmod(0o755)
    (corpus / "path.sh").write_text('WHERE="${ESPNET_ROOT} ${PWD}"\n')
    (corpus / "dump").mkdir()  # the user's own
    return root


def given(recipe, stage):
    """Options that the stand-in got, as a dictionary."""
    lines = (recipe.parent / "asr1" / f"given.{stage}").read_text().splitlines()
    assert lines[::2] == [n for n in lines[::2] if n.startswith("--")], lines
    return dict(zip(lines[::2], lines[1::2]))


def prepare(recipe, checkout, *options):
    """Call prune.sh with a checkout; returns the finished process."""
    words = ("--espnet_root", str(checkout), "--token_type", "char", *SETS)
    return run(recipe, *words, *options, stand_in=False)


def test_options_pass_through_and_the_checkout_is_left_alone(recipe, checkout):
    before = sorted(checkout.rglob("*"))
    corpora = recipe / "corpora"
    corpora.mkdir()
    options = ("--stop_stage", "9", "--downloads", "corpora", "--nj", "3")
    options += ("--speed_perturb_factors", "0.9 1.0", "--audio_format", "flac.ark")
    options += ("--local_data_opts", "--stop_stage 3 --x y")
    options += ("--asr_opts", "--bpe_char_cover 0.99 --lm_train_text 'data/a b'")
    done = prepare(recipe, checkout, *options)
    assert done.returncode == 0, done.stdout
    for stage in range(1, 6):
        found = given(recipe, stage)
        assert found["--stage"] == found["--stop_stage"] == str(stage)
        assert (found["--train_set"], found["--valid_set"]) == ("tr", "cv")
        assert (found["--test_sets"], found["--nj"]) == ("a b", "3")
        assert found["--speed_perturb_factors"] == "0.9 1.0"
        assert found["--audio_format"] == "flac.ark"
        assert found["--local_data_opts"] == "--stop_stage 3 --x y"
        assert found["--lm_train_text"] == "data/a b"
        assert found["--bpe_char_cover"] == "0.99"
        assert found["--dumpdir"] == "../asr_prune1/dump"
        assert found["--use_lm"] == "false"
    assert done.stdout.count("no language model is wanted") == 4
    assert (recipe / "dump/raw/tr/text").is_file()
    assert not (recipe / "data/token_list").is_symlink()
    assert (recipe / "data/token_list/char/tokens.txt").is_file()
    assert sorted(checkout.rglob("*")) == before
    asr1 = recipe.parent / "asr1"
    assert (asr1 / "downloads").resolve() == corpora
    assert not (asr1 / "dump").exists()  # that of the checkout is not ours
    # what jobs on a cluster source
    code = '. ./path.sh && echo "${WHERE}"'
    env = {"PATH": os.environ["PATH"]}
    said = subprocess.check_output(["bash", "-c", code], cwd=asr1, env=env, text=True)
    assert said.split() == [str(checkout), str(asr1)]
    again = prepare(recipe, checkout, *options)
    assert again.stdout.count("skipped") == 5


def test_intents_are_tokens_there_too(recipe, checkout):
    done = prepare(recipe, checkout, "--stop_stage", "5", "--use_intent", "true")
    assert done.returncode == 0, done.stdout
    assert (recipe / "data" / "intents.txt").is_file()
    for name in ("--nlsyms_txt", "--bpe_nlsyms"):
        assert given(recipe, 5)[name] == "../asr_prune1/data/intents.txt"


def test_a_language_model_is_trained_and_decodes(recipe, checkout):
    lm = (
        "--use_lm",
        "true",
        "--asr_opts",
        "--use_ngram true --lm_args '--max_epoch 2'",
    )
    done = prepare(recipe, checkout, "--stop_stage", "9", *lm)
    assert done.returncode == 0, done.stdout
    for stage in (6, 7, 8, 9):
        found = given(recipe, stage)
        assert found["--lm_exp"] == "../asr_prune1/exp/lm_char"
        assert (found["--use_lm"], found["--lm_args"]) == ("true", "--max_epoch 2")
    done = prepare(recipe, checkout, "--stage", "6", "--stop_stage", "9", *lm)
    assert done.stdout.count("skipped") == 4

    # the stages after it, by a stand-in for Python
    exp = recipe / "exp" / "dense"
    exp.mkdir()
    for name in ("config.yaml", "valid.acc.ave.pth"):
        (exp / name).write_text(name)
    options = ("--stage", "6", "--stop_stage", "13", "--dense_exp", "exp/dense")
    done = run(recipe, *options, "--lm_exp", "exp/lm_char", "--skip_stages", "6 7 8")
    assert done.returncode == 0, done.stdout
    decode = next(line for line in calls(recipe) if "bin.asr_inference" in line)
    assert "--lm_train_config exp/lm_char/config.yaml" in decode
    assert "--lm_file exp/lm_char/valid.loss.ave.pth" in decode
    tag = "decode_asr_lm_lm_char_valid.loss.ave_asr_model_valid.acc.ave"
    assert (exp / tag / ".done_stage12").is_file()


def test_a_language_model_of_another_place(recipe):
    (recipe / "lm").mkdir()
    options = ("--stage", "6", "--stop_stage", "8", "--lm_exp", "lm")
    done = run(recipe, *options)
    assert done.returncode == 2
    assert "train one there and give --lm_exp DIR" in done.stdout
    (recipe / "lm" / "valid.loss.ave.pth").write_text("")
    done = run(recipe, *options)
    assert (done.returncode, done.stdout.count("is taken as it is")) == (0, 3)


def test_a_model_of_another_directory_brings_its_files(recipe, tmp_path):
    """As asr.sh leaves them: paths relative to the directory of the training."""
    home = tmp_path / "espnet" / "egs2" / "toy" / "asr1"
    exp = home / "exp" / "asr_x"
    stats = "exp/asr_stats/train/speech_shape"
    for name in ("dump/raw/tr/wav.scp", "data/bpe/bpe.model", stats, "exp/asr_x/m.pth"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    config = {"token_type": "bpe", "bpemodel": "data/bpe/bpe.model"}
    config.update(token_list=["a", "b/c"], output_dir="exp/asr_x")
    config["train_data_path_and_name_and_type"] = [
        ["dump/raw/tr/wav.scp", "speech", "sound"]
    ]
    config["train_shape_file"] = [stats]
    (exp / "config.yaml").write_text(yaml.safe_dump(config))
    options = ("--stage", "12", "--stop_stage", "13", "--dense_exp", str(exp))
    options += ("--inference_asr_model", "m.pth", "--python", sys.executable)
    done = run(recipe, *options, stand_in=False)
    assert f"dump is now a link to {home}/dump" in done.stdout
    for name in ("dump/raw/tr/wav.scp", "data/bpe/bpe.model", stats):
        assert (recipe / name).is_file()
    # what is written about the model stands beside a view of it, not with the model
    assert {p.name for p in (recipe / "exp").iterdir()} == {"asr_stats", "dense"}
    assert sorted(p.name for p in exp.iterdir()) == ["config.yaml", "m.pth"]
    assert not (recipe / "exp").is_symlink()
    # data that are another's are not overwritten
    done = run(recipe, "--stop_stage", "1")
    assert done.returncode == 2 and " is a link, data would be" in done.stdout


@pytest.mark.parametrize(
    "options, message",
    [
        (("--asr_opts", "--lm_args '--max_epoch 2"), "a quote that is not closed"),
        (("--espnet_root", "nowhere"), "or an ESPnet checkout: git clone"),
        (("--downloads", "corpora"), "../asr1/downloads is in the way of a link"),
    ],
)
def test_what_cannot_work_is_told(recipe, checkout, options, message):
    (recipe.parent / "asr1" / "downloads").mkdir(parents=True)
    done = prepare(recipe, checkout, "--stop_stage", "1", *options)
    assert done.returncode == 2
    assert message in done.stdout
    assert not (recipe.parent / "asr1" / "given.1").exists()


@pytest.mark.parametrize("recipe", ["TEMPLATE", "librispeech", "librispeech_100"])
def test_a_recipe_is_as_small_as_espnet_accepts_at_once(recipe):
    """Its own files; what it links, TEMPLATE, is contributed before it."""
    folder = EGS2 / recipe / "asr_prune1"
    names = ["git", "ls-files", "-co", "--exclude-standard", "."]
    try:
        names = subprocess.check_output(names, cwd=folder, text=True).splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git, and a checkout of this repository")
    files = [folder / name for name in names if not (folder / name).is_symlink()]
    files = [path for path in files if path.is_file()]
    assert len(files) < 20
    assert sum(len(path.read_text().splitlines()) for path in files) < 1000
    # ESPnet checks that files of these names are the same everywhere
    assert not list(folder.glob("conf/slurm.conf"))


def test_setup_makes_a_recipe(tmp_path):
    """As ESPnet's checks call the setup.sh of every folder of TEMPLATE."""
    template = tmp_path / "egs2" / "TEMPLATE" / "asr_prune1"
    shutil.copytree(EGS2 / "TEMPLATE" / "asr_prune1", template)
    command = ["egs2/TEMPLATE/asr_prune1/setup.sh", "egs2/test/asr_prune1"]
    subprocess.run(command, cwd=tmp_path, check=True)
    made = tmp_path / "egs2" / "test" / "asr_prune1"
    shown = subprocess.run(
        ["./prune.sh", "--help"], cwd=made, capture_output=True, text=True
    )
    assert shown.returncode == 0 and "--stop_stage" in shown.stdout
    assert not os.path.isabs(os.readlink(made / "scripts"))
    done = subprocess.run(command[:1], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "usage: " in done.stderr


@pytest.mark.parametrize("task", ["asr_prune1", "asr_ssl_prune1"])
@pytest.mark.parametrize("corpus", ["librispeech", "librispeech_100"])
def test_a_recipe_in_a_checkout_uses_the_corpus_beside_it(checkout, corpus, task):
    """Copied there with `cp -rL`."""
    beside = checkout / "egs2" / corpus / "asr1"
    beside.parent.mkdir()
    (checkout / "egs2" / "toy" / "asr1").rename(beside)
    target = beside.parent / task
    ignore = shutil.ignore_patterns("exp", "dump", "data", "downloads", "__pycache__")
    shutil.copytree(EGS2 / corpus / task, target, ignore=ignore)
    files = [p for p in target.rglob("*") if p.is_file()]
    assert not [p for p in files if p.is_symlink()]
    # ESPnet checks that these are the same everywhere
    (target / "cmd.sh").unlink()
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    env.pop("ESPNET_ROOT", None)
    command = ["./run.sh", "--stop_stage", "1"]
    done = subprocess.run(command, cwd=target, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = given(target, 1)
    assert found["--dumpdir"] == f"../{task}/dump"
    assert found["--test_sets"] == "test_clean test_other dev_clean dev_other"
    assert not (beside / "run.sh").is_symlink() and (beside / "dump").is_dir()


def test_environment_and_programs_of_the_checkout(tmp_path, checkout):
    """Our tools/ for ESPnet's path.sh, where make has prepared no environment."""
    for name in ("extra_path.sh", "activate_python.sh"):
        (tmp_path / "tools").mkdir(exist_ok=True)
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools" / name)
    (checkout / "tools" / "sph2pipe").mkdir(parents=True)
    (checkout / "tools" / "activate_python.sh").write_text("ENVIRONMENT=its\n")
    code = f"cd {tmp_path}/tools && . ./activate_python.sh && . ./extra_path.sh"
    code += ' && echo "${ENVIRONMENT}" && echo "${PATH}"'
    command = ["bash", "-euo", "pipefail", "-c", code]
    linked = tmp_path / "tools" / "espnet"
    linked.symlink_to(checkout)
    for root, extra in ((checkout, {"ESPNET_ROOT": str(checkout)}), (linked, {})):
        env = {"PATH": os.environ["PATH"], **extra}
        said = subprocess.check_output(command, env=env, text=True).splitlines()
        assert said[0] == "its"
        assert said[1].startswith(f"{root}/tools/sph2pipe:")


@pytest.mark.usefixtures("real_checkout")
def test_stages_1_to_5_of_a_real_checkout(tmp_path):
    """LibriSpeech's data.sh and asr.sh on noise; needs ESPNET_ROOT."""
    rng = np.random.default_rng(0)
    for name in ("train", "dev", "test"):
        folder = tmp_path / "noise" / name
        folder.mkdir(parents=True)
        names = [f"{who}-{name}{i}" for who in "fm" for i in range(2)]
        for utt in names:
            wave = rng.uniform(-0.1, 0.1, 8000)
            soundfile.write(str(folder / f"{utt}.flac"), wave, 16000)
        for table, value in (
            ("wav.scp", "{0}/{1}.flac"),
            ("text", "NOISE {1}"),
            ("utt2spk", "{2}"),
        ):
            lines = [f"{u} {value.format(name, u, u[0] + name)}\n" for u in names]
            (folder / table).write_text("".join(lines))
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    layout = [sys.executable, str(ROOT / "test/egs2/librispeech_layout.py")]
    layout += ["--corpus", str(tmp_path / "noise"), "--output_dir", str(tmp_path)]
    subprocess.run(layout, check=True, env=env)
    for name in ("TEMPLATE", "librispeech_100"):
        shutil.copytree(
            EGS2 / name / "asr_prune1",
            tmp_path / "prune" / "egs2" / name / "asr_prune1",
            symlinks=True,
            ignore=shutil.ignore_patterns("exp", "dump", "data"),
        )
    tools = tmp_path / "prune" / "tools"
    tools.mkdir()
    for name in ("extra_path.sh", "activate_python.sh"):
        shutil.copy(ROOT / "tools" / name, tools / name)
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    folder = tmp_path / "prune" / "egs2" / "librispeech_100" / "asr_prune1"
    command = ["./run.sh", "--stop_stage", "5", "--downloads", str(tmp_path)]
    command += ["--speed_perturb_factors", "", "--token_type", "char", "--nj", "1"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in ("train_clean_100", "dev", "test_clean", "dev_other"):
        lines = (folder / "dump/raw" / name / "wav.scp").read_text().splitlines()
        assert lines and "../asr_prune1/dump/raw/" in lines[0]
    assert (folder / "data/token_list/char/tokens.txt").stat().st_size > 0

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the README and docs/ tell people to type works."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from test.egs2.stand_in import FAKE
from test.espnet_prune.deep import CONFIG, make_exp, make_model
from test.espnet_prune.runtime.tone_model import RATE, tones, write_model

ROOT = Path(__file__).parents[1]
# the code of CONTRIBUTING.md stands in files, see test_docs.py
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("[a-z]*.md"))]
BLOCKS = [
    (page.name, kind, text)
    for page in PAGES
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.M | re.S)
]
PYTHON = [(page, text) for page, kind, text in BLOCKS if kind == "python"]
SHELL = [
    (page, line) for page, kind, t in BLOCKS if kind == "sh" for line in t.split("\n")
]
LINES = list(dict.fromkeys(line for _, line in SHELL if line))
RECIPE = [line for line in LINES if line.startswith("./run.sh")]
SWEEP = next(line for line in LINES if line.startswith("espnet-prune compare "))
SIZES = [line for line in LINES if line.startswith("espnet-prune sizes ")]
QUICK = [line for line in LINES if line.startswith("espnet-prune quick ")]
DEPLOY = [line for line in LINES if re.match("espnet-prune (deploy|prove) ", line)]
EVIDENCE = [line for line in LINES if " compare conf/compare.yaml" in line]
FOLDER = "egs2/an4/asr_prune1"
RUN_ALL = """
import json, sys

for page, text in json.load(sys.stdin):
    exec(compile(text, page, "exec"), {"__name__": "__main__"})
"""


def run(command, folder, **kwargs):
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, **kwargs
    )


def make_depths(exp):
    """Write the model that the pages speak of, with its depth table."""
    from espnet_prune.deploy.depth_table import Depth, DepthTable

    make_exp(exp, make_model(CONFIG))
    depths = [Depth(n, list(range(1, n + 1)), 0.1, n, 1.0 * n) for n in (5, 4, 3)]
    DepthTable(depths, 5).save(exp / "depth_table.json")


def test_python(tmp_path):
    """All in one process, for its imports take longest; a failure names the page."""
    import soundfile

    make_depths(tmp_path / "exp" / "asr_x")
    write_model(tmp_path / "out")
    soundfile.write(tmp_path / "recording.wav", tones("CAFE"), RATE)
    done = run([sys.executable, "-c", RUN_ALL], tmp_path, input=json.dumps(PYTHON))
    assert done.returncode == 0, done.stderr


def test_recipes_are_called_from_their_directory():
    for page in {page for page, line in SHELL if line in RECIPE}:
        lines = [line for name, line in SHELL if name == page and line]
        assert (
            f"cd {FOLDER}" in lines[: lines.index(next(iter(set(lines) & {*RECIPE})))]
        )


@pytest.mark.parametrize("line", RECIPE)
def test_recipe(line, tmp_path):
    """The recipe accepts the options; a stand-in for Python records the stages."""
    shutil.copytree(
        ROOT / "egs2",
        tmp_path / "egs2",
        symlinks=True,
        ignore=shutil.ignore_patterns("exp", "dump", "data", "downloads"),
    )
    folder = tmp_path / FOLDER
    fake = FAKE.replace("bpe_unigram30", "char").replace('"train"', '"train_sp"')
    words = shlex.split(line)
    if "--inference_asr_model" in words:
        name = words[words.index("--inference_asr_model") + 1]
        fake = fake.replace("valid.acc.ave.pth", name)
    (folder / "fake.py").write_text(fake)
    dense = tmp_path / "dense"
    dense.mkdir()
    for name in ("config.yaml", "valid.acc.ave.pth"):
        (dense / name).write_text("{}")
    for option, value in (("--data_dir", "corpus"), ("--dense_exp", str(dense))):
        if option in words:
            words[words.index(option) + 1] = value
    done = run([*words, "--python", f"{sys.executable} fake.py"], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = (folder / "calls.txt").read_text()
    assert "espnet_prune.bin.select" in calls and "espnet_prune.bin.report" in calls


def test_other_commands(tmp_path):
    """Every other line is one that is known to run, here or as this very suite."""
    command = "python -m espnet_prune.with_registry -m espnet2.bin.asr_train --help"
    coarse = "espnet-prune select --matrix similarity_svcca.npz "
    coarse += "--num_remove 6 --coarse_only"
    known = {
        "make -C tools",
        "source tools/venv/bin/activate",
        "make -C tools demo",
        "make -C tools test",
        f"cd {FOLDER}",
        command,
        # see test_registry.py
        "python -m espnet_prune.with_registry --install",
        "python -m espnet_prune.with_registry --uninstall",
        coarse,
        SWEEP,
        "cd egs2/librispeech_100/asr_prune1",
        # see test_standalone.py
        "pip install -r out/requirements.txt",
        # browser.py serves as this does
        "python -m http.server --directory out/web",
        "python out/transcribe.py recording.wav",
        # see runtime/test_stream.py
        "python out/transcribe.py --stream recording.wav",
        "arecord -q -t raw -f S16_LE -c 1 -r 16000 | "
        "python out/transcribe.py --stream -",
        "python device/transcribe.py sample/audio",
        # see train/test_lightning.py
        "espnet-prune espnet3 --model small --teacher exp/training --output "
        "conf/model/small.yaml",
    }
    assert set(LINES).difference(RECIPE, QUICK, SIZES, DEPLOY, EVIDENCE) == known
    done = run([sys.executable, *command.split()[1:]], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--encoder_conf" in done.stdout
    np.savez(tmp_path / "similarity_svcca.npz", matrix=np.ones((13, 13)))
    coarse = ["-m", "espnet_prune", *coarse.split()[1:]]
    done = run([sys.executable, *coarse], tmp_path)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 10


@pytest.mark.parametrize("line", QUICK)
def test_quick(line, tmp_path):
    """What a page begins with runs on real speech, and half the work says as much."""
    words = shlex.split(line)
    words[words.index("--output_dir") + 1] = str(tmp_path / "small")
    done = run([sys.executable, "-m", "espnet_prune", *words[1:]], ROOT / FOLDER)
    assert done.returncode == 0, done.stderr
    assert "| WER, %" in done.stderr and "| ms for 10 s, encoder" in done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["after"]["gmacs"] <= 0.5 * result["before"]["gmacs"]
    assert result["score"]["agreement"]["after"]["rate"] <= 10.0


@pytest.mark.parametrize("line", DEPLOY)
def test_deploy(line):
    """The options of the pages are there."""
    name, *words = shlex.split(line)[1:]
    importlib.import_module(f"espnet_prune.bin.{name}").get_parser().parse_args(words)


@pytest.mark.parametrize("line", SIZES)
def test_sizes(line):
    """The options of the pages are there."""
    from espnet_prune.bin import sizes

    args = sizes.get_parser().parse_args(shlex.split(line)[2:])
    assert args.target or (args.model and args.audio)


def test_sweep():
    """The sweep of the pages is one that the recipe's configurations allow."""
    from espnet_prune.bin import compare

    args = compare.get_parser().parse_args(shlex.split(SWEEP)[2:])
    for path in args.prune_configs:
        assert (ROOT / FOLDER / path).is_file()
    assert len(args.sizes) == 3


@pytest.mark.parametrize("line", EVIDENCE)
def test_evidence(line):
    """The comparison is there, and what is given to its jobs is known to the recipe."""
    from espnet_prune.bin import compare

    own, _, common = line.partition(" -- ")
    words = shlex.split(own)
    args = compare.get_parser().parse_args(words[words.index("compare") + 1 :])
    folder = ROOT / "egs2/librispeech_100/asr_prune1"
    assert (folder / args.config).is_file()
    options = (folder / "prune.sh").read_text().split("# end of options")[0]
    for word in shlex.split(common)[::2]:
        assert f"\n{word[2:]}=" in options


def test_configurations():
    """The YAML of the pages is what `select` takes, or builds a part of a model."""
    import torch

    from espnet_prune.distill.config import DistillConf
    from espnet_prune.distill.depth.conf import DepthConf
    from espnet_prune.encoders.adopted import adopted
    from espnet_prune.encoders.pruned_wav2vec2 import PrunedWav2Vec2Encoder
    from espnet_prune.models import build_model
    from espnet_prune.select.budget import Budget
    from espnet_prune.select.conf import COMMON
    from espnet_prune.select.methods import methods

    known = {*COMMON, *(key for method in methods() for key in method.keys)}
    texts = [text for _, kind, text in BLOCKS if kind == "yaml"]
    models = [text for text in texts if text.startswith("frontend: ")]
    (train,) = [text for text in models if "encoder: " in text]
    for text in models:
        texts.remove(text)
        if text is not train:
            config, why = adopted({**CONFIG, **yaml.safe_load(text)})
            with torch.device("meta"):
                build_model(config)
            assert not why
    (espnet3,) = [text for text in texts if text.startswith("defaults:")]
    texts.remove(espnet3)
    training = yaml.safe_load(espnet3)
    module, kind = training["task"].rsplit(".", 1)
    assert hasattr(importlib.import_module(module), kind)
    DistillConf.from_dict(training["model"]["distill_conf"])
    (depth,) = [text for text in texts if text.startswith("depth_conf:")]
    texts.remove(depth)
    DepthConf.from_dict(yaml.safe_load(depth)["depth_conf"])
    for line in "".join(texts).splitlines():
        conf = yaml.safe_load(line)
        assert set(conf) <= known
        DistillConf.from_dict(conf.get("distill_conf"))
        assert Budget.from_conf(conf.get("budget", {})).names
    train = yaml.safe_load(train)
    assert train["encoder"] == "pruned_wav2vec2" and train["input_size"] == 1
    assert train["encoder_conf"].pop("weights") == "HUBERT_BASE"
    with torch.device("meta"):
        PrunedWav2Vec2Encoder(1, **train["encoder_conf"])

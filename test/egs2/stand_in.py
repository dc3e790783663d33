# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A recipe with a stand-in for Python that records how it is called."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EGS2 = ROOT / "egs2"
TEMPLATE = EGS2 / "TEMPLATE" / "asr_prune1"
FAKE = r"""
import pathlib, runpy, sys
args = sys.argv[1:]
with open("calls.txt", "a") as f:
    f.write(" ".join(args) + "\n")
with open("words.txt", "a") as f:
    f.write(repr(args) + "\n")

def value(name):
    return args[args.index(name) + 1]

def touch(folder, *names):
    for name in names:
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tables = {"text": "u1 go x\nu2 set y\n", "wav.scp": "u1 1.wav\nu2 2.wav\n"}
        tables["config.yaml"] = "{}"
        path.write_text(tables.get(name, name))

what = args[args.index("-m") + 1] if args[0] == "-m" else args[0]
if what in ("espnet_prune.bin.audio_state", "espnet_prune.bin.needs"):
    sys.argv = args[1:]
    runpy.run_module(what, run_name="__main__", alter_sys=True)
elif what == "espnet_prune.bin.asr_train" and "--collect_stats" not in args:
    if pathlib.Path("fail").exists():
        print("espnet_prune: error: conf: unknown key 'lrr'")
        sys.exit(2)
    print("1epoch results: fine")
    touch(value("--output_dir"), "config.yaml", "valid.acc.ave.pth", "checkpoint.pth")
elif what == "espnet2.bin.aggregate_stats_dirs":
    out = value("--output_dir")
    touch(out, "train/feats_stats.npz", "train/text_shape", "valid/text_shape")
elif what == "espnet_prune.bin.select":
    touch(value("--output_dir"), "structure.json", "masks.pth")
elif what == "espnet_prune.bin.cut":
    touch(value("--output_dir"), "config.yaml", "model.pth", "cost.json")
elif what == "espnet_prune.bin.deploy":
    touch(value("--output_dir"), "config.json")
elif what == "espnet_prune.bin.transcribe":
    touch(pathlib.Path(value("--output")).parent, "text")
elif what == "espnet_prune.bin.decode_jobs":
    if "split" in args:
        touch(value("--output_dir"), "logdir/wav.scp")
        print(2)
    elif "kind" in args:
        print("sound")
    elif "collect" in args:
        touch(value("--output_dir"), "test/text")
elif what == "espnet_prune.bin.link_dense":
    if "--train_dir" in args:
        touch(pathlib.Path(args[2]).parent, "tokens.txt")
    print(pathlib.Path(args[2]).parent, "char", sep="\n")
elif what == "espnet_prune.bin.data_prep" and value("--stage") in "45":
    names = ["train", "dev", "test"]
    if "dev" in value("--test_sets").split():
        names.append("filtered/dev")
    for name in names:
        touch(value("--dumpdir") + f"/raw/{name}", "text", "wav.scp")
    touch("data/token_list/bpe_unigram30", "tokens.txt")
"""


def make_stand_in(tmp_path):
    """Make a recipe directory, linked as the shipped ones are."""
    shutil.copytree(TEMPLATE, tmp_path / "egs2" / "TEMPLATE" / "asr_prune1")
    folder = tmp_path / "egs2" / "toy" / "asr_prune1"
    (folder / "conf").mkdir(parents=True)
    for name in ("prune.sh", "path.sh", "cmd.sh", "scripts"):
        (folder / name).symlink_to(f"../../TEMPLATE/asr_prune1/{name}")
    for name in ("train_asr", "decode_asr", "prune", "recover"):
        (folder / "conf" / f"{name}.yaml").write_text(f"name: {name}\n")
    (folder / "conf" / "recover.yaml").write_text("distill_conf:\n    w_ctc: 1.0\n")
    (folder / "fake.py").write_text(FAKE)
    return folder


def run(folder, *options, stand_in=True):
    """Call prune.sh; returns the finished process, stdout and stderr together."""
    command = ["./prune.sh", *options]
    if stand_in:
        command += ["--python", f"{sys.executable} fake.py", "--data_dir", "corpus"]
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    for name in ("cmd_backend", "ESPNET_ROOT"):
        env.pop(name, None)
    return subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def calls(folder):
    """Read and forget the recorded calls."""
    path = folder / "calls.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def stages(output):
    """Stages by what was said about them: run or skipped."""
    ran = re.findall(r"Stage (\d+): [^\n]*(?<!skipped)$", output, re.M)
    skipped = re.findall(r"Stage (\d+): .*skipped$", output, re.M)
    return [sorted({int(n) for n in found}) for found in (ran, skipped)]

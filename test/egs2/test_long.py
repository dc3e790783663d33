# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What takes minutes: whole recipes, killed, swept, on Slurm, from a corpus on disk.

Runs only with ESPNET_PRUNE_LONG=1; the number of kills is ESPNET_PRUNE_KILLS (50).
"""

import os
import re
import subprocess
import time

import pytest
import yaml

from espnet_prune.utils import read_json
from test.egs2 import kill_recipe, whole_path
from test.egs2.preloaded import Preloaded
from test.egs2.slurm import private_slurm
from test.egs2.tiny_recipe import PRUNE, make_recipe

pytestmark = pytest.mark.skipif(
    os.environ.get("ESPNET_PRUNE_LONG") != "1",
    reason="takes many minutes, runs with ESPNET_PRUNE_LONG=1",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Preloaded(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture(scope="module")
def dense(server, tmp_path_factory):
    """A recipe that has trained its dense model."""
    folder = make_recipe(tmp_path_factory.mktemp("tiny"))
    kill_recipe.Recipe(folder, server).run(["--stop_stage", "11"])
    return folder


def test_kills(tmp_path, capfd):
    number = os.environ.get("ESPNET_PRUNE_KILLS", "50")
    kill_recipe.main(["--output_dir", str(tmp_path / "kills"), "--kills", number])
    assert f"\n{number} kills in " in capfd.readouterr().out


def test_a_killed_sweep_redoes_nothing_finished(dense, server):
    """Two configurations at two sparsities, killed when the second member has begun."""
    magnitude = {"method": "magnitude", "budget": PRUNE["budget"]}
    (dense / "conf" / "magnitude.yaml").write_text(yaml.safe_dump(magnitude))
    exp = "exp/asr_train_asr_raw_char"
    words = ["--dense_exp", exp, "--expdir", "exp/sweep", "--max_jobs", "1"]
    words += ["--prune_configs", "conf/prune.yaml", "conf/magnitude.yaml"]
    words += ["--sparsities", "30", "50", "--runs", "3", "--"]
    words += ["--decode_cut", "false", "--python"]
    command = [*server.python.split(), "-m", "espnet_prune.bin.sweep", *words]
    recipe = kill_recipe.Recipe(dense, server)
    begun = dense / "exp/sweep/prune_50/select/train/checkpoint.pth"
    process = recipe.start([], [*command, server.python])
    while not begun.exists():
        assert process.poll() is None, (recipe.end(process), recipe.output)
        time.sleep(0.05)
    recipe.kill(process, every=True)
    recipe.end(process)
    first = kill_recipe.state(dense / "exp/sweep/prune_30")
    logs = log_sizes(dense / "exp/sweep/prune_30")
    assert len(logs) == 2  # of the selection and of the recovery
    log = dense / "exp/sweep/log/prune_30.log"
    before = log.read_text()
    process = recipe.start([], [*command, server.python])
    assert recipe.end(process) == 0, recipe.output
    assert "| magnitude 50 % |" in recipe.output
    assert log.read_text() == before  # not called again
    for path, when in kill_recipe.state(dense / "exp/sweep/prune_30").items():
        if re.search(r"\.(pth|json|yaml)$", path) and "report" not in path:
            assert first[path] == when, path
    rows = sorted(path.stem for path in (dense / "results/sweep").iterdir())
    assert rows == ["dense", "magnitude_30", "magnitude_50", "prune_30", "prune_50"]
    assert log_sizes(dense / "exp/sweep/prune_30") == logs  # nothing was trained again


def log_sizes(folder):
    """Size of every log of a training below a folder."""
    names = ("select.log", "train.log")
    found = [path for name in names for path in folder.rglob(name)]
    return {path: path.stat().st_size for path in found}


def test_all_stages_on_slurm(server, tmp_path):
    """The recipe in jobs of a Slurm on this machine, statistics to scores."""
    folder = make_recipe(tmp_path)
    (tmp_path / "tools").mkdir()
    path = tmp_path / "egs2/TEMPLATE/asr_prune1/path.sh"  # as local/path.sh of a user
    path.write_text(path.read_text() + f'export PATH="{os.environ["PATH"]}"\n')
    with private_slurm(tmp_path / "private") as env:
        done = subprocess.run(
            ["./run.sh", "--python", server.python, "--nj", "2", "--inference_nj", "2"]
            + ["--stop_stage", "19"],
            cwd=folder,
            env=dict(env, cmd_backend="slurm"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    assert done.returncode == 0, done.stdout[-4000:]
    print(done.stdout)
    pruned = folder / "exp/asr_train_asr_raw_char_prune"
    for path in ("train.log", "select/select.log", "cut/cut.log"):
        log = (pruned / path).read_text()
        assert "# Running on " in log and "# Ended (code 0)" in log
    scores = read_json(pruned / "decode_asr_asr_model_valid.acc.ave/score.json")
    assert scores["sets"]["test"]["wer"]["snt"] == 4
    assert len(list(pruned.glob("decode_*/logdir/asr_inference.*.log"))) == 2


def test_a_second_run_in_the_same_directory_refuses(dense, server):
    first = kill_recipe.Recipe(dense, server)
    options = ["--stage", "15", "--prune_exp", "exp/twice", "--stop_stage", "15"]
    process = first.start(options)
    while not (dense / "exp/twice/.lock").exists():
        time.sleep(0.05)
    time.sleep(1)
    command = ["./run.sh", "--python", server.python, *options]
    second = subprocess.run(command, cwd=dense, capture_output=True, text=True)
    assert second.returncode == 2
    assert "exp/twice is in use by process " in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert first.end(process) == 0, first.output


def test_a_full_disk_and_a_read_only_one(dense, server):
    """The experiment is on a small file system; needs the right to mount one."""
    folder = dense / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*mount, "size=200k", "tmpfs", folder]).returncode:
        pytest.skip("no right to mount a file system")
    recipe = kill_recipe.Recipe(dense, server)
    options = ["--stage", "15", "--stop_stage", "15", "--prune_exp", "small/x"]
    try:
        assert recipe.end(recipe.start(options)) == 2, recipe.output
        assert re.search(
            r"espnet_prune: error: small/x/select/\S+: No space left on device; make "
            "room there, and call the same command again",
            recipe.output,
        ), recipe.output
        assert not list(folder.rglob("*.tmp"))
        subprocess.run([*mount, "remount,ro", "tmpfs", folder], check=True)
        assert recipe.end(recipe.start(options)) == 2, recipe.output
        assert "small/x cannot be written: give another directory" in recipe.output
        subprocess.run([*mount, "remount,rw,size=40m", "tmpfs", folder], check=True)
        assert recipe.end(recipe.start(options)) == 0, recipe.output
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("recipe", ["librispeech_100"])
@pytest.mark.usefixtures("real_checkout")
def test_librispeech_from_disk_to_archive(tmp_path, capfd, recipe):
    """Needs ESPNET_ROOT; `whole_path.py` is the same for people."""
    whole_path.main(["--output_dir", str(tmp_path / "out"), "--recipe", recipe])
    table = re.findall(r"^\| (\d+) \|", capfd.readouterr().out, re.M)
    assert list(map(int, table)) == list(range(1, 23))
    exp = tmp_path / f"out/egs2/{recipe}/asr_prune1/exp"
    assert len(list(exp.glob("*/*.zip"))) == 1

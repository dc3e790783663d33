# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every command with every kind of damage to every file that it reads.

A command ends with 0 or with one sentence and 2, and changes nothing that was there.
The suite draws `DRAWN` cases; ESPNET_PRUNE_LONG=1 runs all, prints the sentences, and
writes test/results/fuzz.json.
"""

import contextlib
import copy
import hashlib
import io
import logging
import os
import random
import re
import shutil
import signal
import traceback
from pathlib import Path

import pytest
import torch
import yaml

from espnet_prune.report.decoding import releases
from espnet_prune.utils import read_json, run_main, write_json
from test.espnet_prune.releases.make import options
from test.espnet_prune.test_releases import CONFIG, EXP, MODEL, PAIR, lay_out, run

DRAWN = 48
SEED = 0
OUT = "out"
LIMIT = 60  # seconds
RESULT = Path(__file__).resolve().parents[1] / "results" / "fuzz.json"
LONG = os.environ.get("ESPNET_PRUNE_LONG") == "1"
DATA = options()[2:]
DECODE = ["--asr_train_config", CONFIG, "--asr_model_file", MODEL, "--beam_size", 1]
WAVES = ["--data_path_and_name_and_type", "data/valid_wav.scp,speech,sound"]

# command: what is called, and the files that it reads
COMMANDS = {
    "check_model": (["check_model", *PAIR], [CONFIG, MODEL]),
    "cost": (["cost", "--model_config", CONFIG], [CONFIG]),
    "cost of a structure": (
        ["cost", "--structure", "select/structure.json"],
        ["select/structure.json"],
    ),
    "verify": (["verify", *PAIR, "--structures", 1, "--trials", 1], [CONFIG, MODEL]),
    "similarity": (
        ["similarity", *PAIR, "--output_dir", OUT, "--num_utts", 2],
        [CONFIG, MODEL, "data/train_wav.scp"],
    ),
    "evaluate_blocks": (
        ["evaluate_blocks", *PAIR, "--sets", "sets.txt", "--output", f"{OUT}/x.tsv"],
        ["sets.txt", CONFIG, "data/valid_text", "data/valid_wav.scp"],
    ),
    "select magnitude": (
        ["select", "--config", "magnitude.yaml", *PAIR, "--output_dir", OUT],
        ["magnitude.yaml", CONFIG, MODEL],
    ),
    "select layers": (
        ["select", "--config", "layers.yaml", *PAIR, "--output_dir", OUT],
        ["layers.yaml", CONFIG, "data/valid_text"],
    ),
    "select l0": (
        ["select", "--config", "l0.yaml", *PAIR, "--output_dir", OUT, *DATA],
        ["l0.yaml", CONFIG, "data/train_text", "data/train_wav.scp"],
    ),
    "cut": (
        ["cut", *PAIR, "--select_dir", "select", "--output_dir", OUT],
        ["select/structure.json", "select/masks.pth", CONFIG],
    ),
    "export": (
        ["export", *PAIR, "--depth", 1, "--output_dir", OUT],
        ["exp/asr_x/depth_table.json", CONFIG, MODEL],
    ),
    "init_model": (
        ["init_model", "--config", "model.yaml", *options()[:2], "--output_dir", OUT],
        ["model.yaml", "data/tokens.txt"],
    ),
    "asr_train": (
        ["asr_train", "--output_dir", OUT, "--base_config", CONFIG, "--config"]
        + ["train.yaml", "--init_param", MODEL, "--teacher_model", MODEL, *options()],
        ["train.yaml", CONFIG, MODEL, "data/train_text", "data/train_shape"],
    ),
    "dry_run": (
        ["dry_run", "--asr_config", "model.yaml", "--prune_config", "l0.yaml"],
        ["model.yaml", "l0.yaml"],
    ),
    "asr_inference": (
        ["asr_inference", *DECODE, *WAVES, "--ngpu", 0, "--output_dir", OUT]
        + ["--config", "decode.yaml"],
        ["decode.yaml", CONFIG, MODEL, "data/valid_wav.scp"],
    ),
    "score": (
        ["score", "--ref", "ref", "--hyp", "hyp", "--sets", "a"],
        ["ref/a/text", "hyp/a/text", "ref/a/utt2spk"],
    ),
    "pack": (
        ["pack", "--exp_dir", EXP, "--model", "model.pth", "--output", f"{OUT}/a.zip"],
        [CONFIG, MODEL],
    ),
}


def leaves(value, path=()):
    """Yield the path of every leaf and inner node of nested lists and mappings."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, (dict, list)) and inner:
            yield from leaves(inner, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def change(content, rng, kind):
    """Change one place of parsed YAML or JSON; returns the new content and a name."""
    content = copy.deepcopy(content)
    path = rng.choice(list(leaves(content)))
    owner, key, old = at(content, path[:-1]), path[-1], at(content, path)
    if kind == "type":
        owner[key] = rng.choice(["x", [1, "a"], {"a": 1}, True, "1e-3x"])
    elif kind == "range":
        owner[key] = rng.choice([-3, 0, -0.5, 10**6 + 1]) if not LIMITED(key) else -3
    elif kind == "missing":
        del owner[key]
    elif isinstance(owner, dict):
        owner[f"{key}s"] = owner.pop(key)
    else:
        owner[key] = None
    return content, f"{'.'.join(map(str, path))} was {old!r}"[:90]


def LIMITED(key):
    """Whether a large number would be a valid wish for very long work."""
    return "epoch" in str(key) or "num" in str(key) or "size" in str(key)


def damage(path, kind, rng, others):
    """Damage a file; returns what was done."""
    path = Path(path)
    data = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(data[: rng.randrange(1, max(2, len(data)))])
    elif kind == "encoding":
        place = rng.randrange(len(data))
        path.write_bytes(data[:place] + b"\xe9\xff" + data[place:])
    elif kind == "utf-16":
        path.write_bytes(data.decode("latin-1").encode("utf-16"))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "gone":
        path.unlink()
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    elif kind == "swapped":
        other = rng.choice(sorted(set(others) - {str(path)}))
        path.write_bytes(Path(other).read_bytes())
        return f"is {other}"
    elif kind == "tensor":
        state = torch.load(path, weights_only=True)
        key = rng.choice(sorted(state))
        state[key] = rng.choice(
            [torch.zeros(3), "x", state[key].double() * float("nan"), {}]
        )
        torch.save(state, path)
        return f"{key} is {str(state[key])[:40]!r}"
    else:
        load = read_json if path.suffix == ".json" else yaml.safe_load
        content = load(path if path.suffix == ".json" else path.read_text())
        content, done = change(content, rng, kind)
        path.write_text(yaml.safe_dump(content))
        if path.suffix == ".json":
            import json

            path.write_text(json.dumps(content))
        return done
    return ""


WHOLE = ("truncated", "encoding", "utf-16", "empty", "gone", "folder", "swapped")
PLACES = ("type", "range", "missing", "unknown")


def kinds_of(path):
    if path.endswith(".pth"):
        return (*(k for k in WHOLE if k != "utf-16"), "tensor", "tensor")
    if path.endswith((".yaml", ".json")):
        return (*WHOLE, *PLACES * 3)
    return WHOLE


CASES = [
    (command, path, kind, number)
    for command, (_, files) in COMMANDS.items()
    for path in files
    for number, kind in enumerate(kinds_of(path))
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A directory with all that the commands read."""
    folder = tmp_path_factory.mktemp("fuzz") / "base"
    folder.mkdir()
    lay_out(folder, "202511")
    (folder / "sets.txt").write_text("1\n")
    (folder / "decode.yaml").write_text("ctc_weight: 0.3\nmaxlenratio: -4\n")
    layers = (
        "method: layers\nnum_remove: 1\nlayers_conf: {search: iterative, metric: cer"
    )
    (folder / "layers.yaml").write_text(f"{layers}}}\n")
    (folder / "depths.yaml").write_text(f"{layers}, depth_table: true}}\n")
    for name, lines in (("ref", "u1 a b\nu2 c\n"), ("hyp", "u1 a b\nu2 d\n")):
        (folder / name / "a").mkdir(parents=True)
        (folder / name / "a" / "text").write_text(lines)
    (folder / "ref/a/utt2spk").write_text("u1 s1\nu2 s2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("select", "--config", "magnitude.yaml", *PAIR, "--output_dir", "select")
        run("select", "--config", "depths.yaml", *PAIR, "--output_dir", "layers")
        yield folder


def snapshot():
    """Hashes of all files outside of the output."""
    found = {}
    for path in sorted(Path(".").rglob("*")):
        if path.is_file() and path.parts[0] != OUT:
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class TooLong(BaseException):
    """It works, and has worked long enough."""


def call(words):
    """Run a command as its process would; returns exit code and standard error."""
    name, *rest = map(str, words)
    said = io.StringIO()

    def stop(*unused):
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    code = 0
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(
            io.StringIO()
        ):
            run_main(lambda: run(name, *rest))
    except SystemExit as error:
        code = (
            error.code if isinstance(error.code, int) else int(error.code is not None)
        )
    except TooLong:
        pass
    except BaseException:
        code = 1
        said.write(traceback.format_exc())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        logging.getLogger().setLevel(logging.WARNING)
    return code, said.getvalue()


def try_case(base, case):
    """Run a case in a copy; returns what is wrong, or None, and the sentence."""
    command, path, kind, number = case
    rng = random.Random(f"{SEED} {case}")
    folder = base.parent / "case"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder, symlinks=True)
    os.chdir(folder)
    words, _ = COMMANDS[command]
    others = {p for _, files in COMMANDS.values() for p in files}
    done = damage(path, kind, rng, others)
    before = snapshot()
    code, said = call(words)
    what = f"{command}: {path} {kind} {done}"
    sentences = re.findall(r"^espnet_prune: error: .*$", said, re.M)
    if code not in (0, 2) or "Traceback" in said:
        return f"{what}: exit {code}: {said.strip()[-300:]}", None
    if code == 2 and len(sentences) != 1:
        return f"{what}: exit 2 with {len(sentences)} sentences: {said[-300:]}", None
    after = snapshot()
    lost = [p for p in before if after.get(p) != before[p]]
    if lost:
        return f"{what}: {lost[0]} is not what it was", None
    return None, sentences[0] if sentences else ""


def test_damaged_files_end_in_a_sentence(base, capsys):
    cases = CASES if LONG else random.Random(SEED).sample(CASES, DRAWN)
    wrong, said = [], {}
    for case in cases:
        problem, sentence = try_case(base, case)
        if problem:
            wrong.append(problem)
        elif sentence:
            said.setdefault(
                re.sub(r"[0-9a-f]{8,}|\d+|'[^']*'", "#", sentence), sentence
            )
    with capsys.disabled():
        if LONG:
            print(*said.values(), sep="\n")
            record = {
                "cases": len(cases),
                "wrong": len(wrong),
                "seed": SEED,
                **releases(),
            }
            write_json({**record, "sentences": sorted(said.values())}, RESULT)
        print(f"{len(cases)} cases, {len(said)} sentences, {len(wrong)} wrong")
    os.chdir(base)
    assert len(CASES) >= 300
    assert not wrong, "\n".join(wrong)
    assert len(said) >= (30 if LONG else 12)

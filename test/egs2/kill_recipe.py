#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Kill a recipe at random moments; what it ends with must be what it has otherwise.

    python test/egs2/kill_recipe.py --output_dir OUT --kills 50

runs stages 10-19 of the tiny recipe once without a disturbance, then again and again
with SIGKILL: at a random time, or the moment a file is written; of every process, as
when the machine fails, or of the recipe's process group only, whose jobs live on. The
same command is repeated until it completes, which ends a round: checkpoints, decoded
text, scores and tables must be those of the undisturbed run, bit for bit. After a kill
every file is read: those torn apart are counted, and no finished stage may have one.
Called again, it compares with the undisturbed run that it has.
"""

import argparse
import collections
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Set

import numpy as np
import torch

from espnet_prune.report.decoding import releases
from espnet_prune.utils import UserError, run_main, write_json
from test.egs2.preloaded import Preloaded
from test.egs2.tiny_recipe import make_recipe

STAGES = ["--stage", "10", "--stop_stage", "19"]
# logs, locks, and the trainer's state, which holds times
VOLATILE = re.compile(r"\.log(\.\d+)?$|\.lock$|checkpoint\.pth$|\.tmp$|/images/|\.png$")
MARKER = re.compile(r"\.done_stage(\d+)$")
WAIT = 600  # seconds that a job which outlived its recipe may need


class Kill(NamedTuple):
    """One kill.

    Attributes:
        seconds: After the start.
        at_write: Not then, but as soon as a file has changed after that.
        every: Every process, otherwise the process group of the recipe.
    """

    seconds: float
    at_write: bool
    every: bool


class Recipe:
    """The recipe in a folder, with a stand-in for Python that starts fast."""

    def __init__(self, folder: Path, server: Preloaded) -> None:
        self.folder, self.server = folder, server
        self.mark = f"KILL_RECIPE={uuid.uuid4()}"
        self.output = ""

    def start(
        self, options: Sequence[str], command: Optional[Sequence[str]] = None
    ) -> subprocess.Popen:
        """Start run.sh, or another command, as the leader of a process group."""
        name, _, value = self.mark.partition("=")
        self.log = open(self.folder / "kill.log", "w+", encoding="utf-8")
        return subprocess.Popen(
            [*(command or ["./run.sh", "--python", self.server.python]), *options],
            cwd=self.folder,
            env=dict(os.environ, **{name: value}),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen) -> int:
        """Return the exit code of an ended process; `output` is what was printed."""
        code = process.wait()
        self.log.seek(0)
        self.output = self.log.read()
        self.log.close()
        return code

    def run(self, options: Sequence[str]) -> None:
        """Run it to the end.

        Raises:
            UserError: It ended with an error.
        """
        if self.end(self.start(options)):
            raise UserError(f"{self.folder} failed:\n{self.output[-3000:]}")

    def processes(self) -> Set[int]:
        """All that were started by the recipe and live, those of the server too."""
        server = self.server.process.pid
        found = set(map(int, _read(f"/proc/{server}/task/{server}/children").split()))
        for name in os.listdir("/proc"):
            if name.isdigit() and self.mark.encode() in _read(f"/proc/{name}/environ"):
                found.add(int(name))
        return found

    def kill(self, process: subprocess.Popen, every: bool) -> None:
        """Kill it, and wait until the dead are gone."""
        if not every:
            os.killpg(process.pid, signal.SIGKILL)
            return
        stopped: Set[int] = set()
        while not self.processes() <= stopped:  # none may see another die
            new = self.processes() - stopped
            _signal(new, signal.SIGSTOP)
            stopped |= new
        _signal(stopped, signal.SIGKILL)
        while True:
            process.poll()
            if not self.processes() & stopped:
                return
            time.sleep(0.02)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:  # it has ended
        return b""


def _signal(processes: Set[int], number: int) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            pass


def files(folder: Path) -> Dict[str, Path]:
    """Return all results by their name below `folder`."""
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    return {name: p for name, p in found.items() if not VOLATILE.search(name)}


def state(folder: Path) -> Dict[str, int]:
    """Return when every file was changed."""
    result = {}
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                path = os.path.join(root, name)
                result[path] = os.stat(path).st_mtime_ns
            except OSError:  # it was renamed
                pass
    return result


def whole(path: Path) -> bool:
    """Can it be read to the end?"""
    try:
        if path.suffix == ".pth":
            torch.load(path, map_location="cpu", weights_only=False)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            [json.loads(line) for line in path.read_text().splitlines()]
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                [arrays[name] for name in arrays]
    except Exception:
        return False
    return True


def same(one: Path, other: Path) -> bool:
    """Equal, byte by byte; of checkpoints the tensors."""
    if one.suffix != ".pth":
        return one.read_bytes() == other.read_bytes()
    found = [torch.load(io.BytesIO(p.read_bytes())) for p in (one, other)]
    return _equal(*found)


def _equal(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and one == other


def differences(expected: Path, found: Path) -> List[str]:
    """Return what one experiment folder has otherwise than the other."""
    left, right = files(expected), files(found)
    result = [f"{name}: missing" for name in sorted(set(left) - set(right))]
    result += [f"{name}: too many" for name in sorted(set(right) - set(left))]
    for name in sorted(set(left) & set(right)):
        if not same(left[name], right[name]):
            result.append(f"{name}: differs")
    return result


def torn(folder: Path) -> List[str]:
    """Return the files that end in the middle."""
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    bad = [n for n, p in found.items() if not n.endswith(".tmp") and not whole(p)]
    return sorted(bad)


def _finished(folder: Path) -> bool:
    return any(MARKER.search(path.name) for path in folder.iterdir())


class Tally:
    """What has happened so far."""

    def __init__(self) -> None:
        self.kills: List[str] = []
        self.refusals = self.rounds = 0
        self.torn: List[str] = []


def disturb(recipe: Recipe, kill: Kill, tally: Tally) -> bool:
    """Run the recipe and kill it; returns whether it was faster and has completed.

    A job that outlived an earlier kill is waited for: the recipe must refuse meanwhile.

    Raises:
        UserError: It ended with an error of its own.
    """
    exp, deadline = recipe.folder / "exp", time.time() + WAIT
    while True:
        began, before = time.time(), None
        process = recipe.start(STAGES)
        while process.poll() is None:
            late = time.time() - began >= kill.seconds
            if late and kill.at_write:
                now = state(exp)
                late = before is not None and now != before
                before = now
            if late:
                recipe.kill(process, kill.every)
                recipe.end(process)
                return False
            time.sleep(0.01)
        if recipe.end(process) == 0:
            return True
        if "is in use by process" not in recipe.output or time.time() > deadline:
            raise UserError(f"{recipe.folder} failed:\n{recipe.output[-3000:]}")
        tally.refusals += 1
        time.sleep(0.5)


def stage_reached(output: str) -> str:
    """Return the last stage that a run told of."""
    return (re.findall(r"Stage (\d+): [^\n]*", output) or ["before 10"])[-1]


def run_kills(
    expected: Path,
    fresh: Path,
    victim: Recipe,
    args: argparse.Namespace,
    longest: float,
) -> Tally:
    """Kill until all kills are done and the last round has completed.

    Raises:
        UserError: A round ended with something else than the undisturbed run.
    """
    rng, tally = random.Random(args.seed), Tally()
    while True:
        shutil.rmtree(victim.folder)
        shutil.copytree(fresh, victim.folder, symlinks=True)
        completed = False
        while not completed:
            kill = Kill(
                longest * rng.random() ** 3,
                rng.random() < 0.5,
                rng.random() >= args.group,
            )
            if len(tally.kills) >= args.kills:
                kill = Kill(float("inf"), False, True)
            completed = disturb(victim, kill, tally)
            if not completed:
                where = stage_reached(victim.output)
                scope = "all" if kill.every else "group"
                when = "write" if kill.at_write else "time"
                found = torn(victim.folder / "exp")
                tally.kills.append(f"stage {where}, {scope}, at {when}")
                tally.torn += found
                exp = victim.folder / "exp"
                done = [name for name in found if _finished((exp / name).parent)]
                if done:
                    raise UserError(f"torn in a folder that is finished: {done}")
                print(
                    f"{len(tally.kills)}: {tally.kills[-1]}"
                    f"{', torn: ' if found else ''}{' '.join(found)}",
                    flush=True,
                )
        tally.rounds += 1
        found = differences(expected, victim.folder / "exp")
        if found:
            raise UserError(f"{victim.folder}/exp is not as expected: {found}")
        left = [p.name for p in (victim.folder / "exp").rglob("*.tmp")]
        if left:
            raise UserError(f"{victim.folder}/exp: temporary files are left: {left}")
        print(f"round {tally.rounds}: as the undisturbed run", flush=True)
        if len(tally.kills) >= args.kills:
            return tally


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", type=Path, help="write the figures to this JSON")
    parser.add_argument("--group", type=float, default=0.25, help="share of such kills")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    folder, log = args.output_dir / "egs2/tones/asr_prune1", "undisturbed.log"
    expected, victim = folder.with_name("expected"), folder.with_name("victim")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    with Preloaded(args.output_dir) as server:
        if not (args.output_dir / log).exists():
            recipe = Recipe(make_recipe(args.output_dir), server)
            recipe.run(["--stop_stage", "5"])
            for copy in (expected, victim):
                shutil.copytree(folder, copy, symlinks=True)
            recipe = Recipe(expected, server)
            recipe.run(STAGES)
            (args.output_dir / log).write_text(recipe.output)
        text = (args.output_dir / log).read_text()
        longest = 1.2 * max(map(int, re.findall(r"Stage \d+: done in (\d+) s", text)))
        print(f"kills within {longest:.0f} s", flush=True)
        tally = run_kills(
            expected / "exp", folder, Recipe(victim, server), args, longest
        )
    if args.result is not None:
        kinds = dict(sorted(collections.Counter(tally.kills).items()))
        record = {"kills": len(tally.kills), "rounds": tally.rounds, "seed": args.seed}
        record.update(torn=len(tally.torn), refused=tally.refusals, **releases())
        write_json({**record, "where": kinds}, args.result)
    print(
        f"{len(tally.kills)} kills in {tally.rounds} rounds, each round as the "
        f"undisturbed run; {len(tally.torn)} files torn, none taken for a whole one; "
        f"{tally.refusals} starts refused while a job lived"
    )


if __name__ == "__main__":
    sys.exit(run_main(main))

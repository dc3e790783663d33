# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The slurm backend of `espnet_prune.bin.run`: an array of jobs, waited for."""

import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

SLURM_CONF = """
command sbatch --export=PATH
option name=* --job-name $0
option time=* --time $0
option mem=* --mem-per-cpu $0
option num_threads=* --cpus-per-task $0
default gpu=0
option gpu=0
option gpu=* --gres=gpu:$0
option num_nodes=1
"""
PATIENCE = 1800.0  # seconds for which the controller may be away
PAUSE = 15.0  # seconds between two questions
GRACE = {True: 10.0, False: 30.0}  # for file systems that lag, if sbatch failed or not
AWAY = "Unable to contact slurm controller"  # as sbatch says it
NODES = ("num_nodes", "*", ["--nodes", "$0", "--ntasks-per-node", "1"])


def on_nodes(command: List[str], log: Path, gpu: int) -> List[str]:
    """The command as one task on every node, as `espnet2.bin.launch` starts it.

    The tasks find each other through a file, which all nodes must see. When one ends
    with an error, the others are killed.
    """
    meeting = log.parent.absolute() / f".dist_init_{uuid.uuid4()}"
    words = ["srun", "--export=ALL", "--kill-on-bad-exit=1", *command]
    words += ["--dist_launcher", "slurm", "--dist_init_method", f"file://{meeting}"]
    return words + ([] if gpu else ["--dist_backend", "gloo"])


def slurm_options(text: str, options: Dict[str, str]) -> Tuple[List[str], List[str]]:
    """Translate our options into sbatch's by a Kaldi slurm.conf.

    Returns:
        The sbatch command and the options to add to it.
    """
    command, rules, asked = ["sbatch"], [], {}
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "command":
            command = words[1:]
        elif words[0] == "default":
            name, _, value = words[1].partition("=")
            asked[name] = value
        elif words[0] == "option":
            name, _, value = words[1].partition("=")
            rules.append((name, value, words[2:]))
    rules.append(NODES)
    asked.update(options)
    result: List[str] = []
    for name, value in asked.items():
        exact = [r for r in rules if r[0] == name and r[1] == value]
        general = [r for r in rules if r[0] == name and r[1] == "*"]
        for rule in (exact or general)[:1]:
            result += [word.replace("$0", value) for word in rule[2]]
    return command, result


def _id_of(process: "subprocess.Popen[str]") -> str:
    """Read the id of the job that sbatch has submitted; "" if it has not."""
    assert process.stdout is not None
    return process.stdout.readline().strip().split(";")[0]


def _end(process: "subprocess.Popen[str]", job: str) -> None:
    """Cancel what was submitted, and end the waiting sbatch."""
    if job:
        _cancel(job)
    process.kill()
    process.wait()


def _submit(command: List[str], errors: Path) -> Tuple["subprocess.Popen[str]", str]:
    """Call sbatch, again while its controller is away; returns it and the job's id.

    Only a connection that was refused is tried again: then nothing was submitted.
    """
    started = time.time()
    while True:
        with open(errors, "w") as stream:
            # in a session of its own, so that Ctrl-C reaches only this program
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                start_new_session=True,
            )
        try:
            job = _id_of(process)
        except SystemExit:
            _end(process, _id_of(process))
            raise
        if job:
            return process, job
        process.wait()
        told = errors.read_text(errors="replace")
        if AWAY not in told or time.time() - started > PATIENCE:
            sys.stderr.write(told)
            return process, ""
        print("run.py: Slurm's controller is away, waiting for it", file=sys.stderr)
        time.sleep(PAUSE)


def _in_queue(job: str) -> Optional[bool]:
    """Ask whether some of a job is in the queue; None: no answer."""
    try:
        asked = subprocess.run(
            ["squeue", "-h", "-j", job, "-o", "%i"], capture_output=True, text=True
        )
    except OSError:
        return None
    if asked.returncode == 0:
        return bool(asked.stdout.strip())
    return False if "Invalid job id" in asked.stderr else None


def _cancel(job: str) -> None:
    """Cancel a job and say so, or say that it may still run."""
    try:
        done = subprocess.call(["scancel", job]) == 0
    except OSError:
        done = False
    if done:
        print(f"run.py: job {job} was cancelled", file=sys.stderr)
    else:
        print(
            f"run.py: job {job} could not be cancelled and may still run: call scancel "
            f"{job} before the next run",
            file=sys.stderr,
        )


class _Watch:
    """Decides how long to wait for exit codes once sbatch has ended.

    sbatch --wait ends before its job does when the controller is away; the job runs on.
    The exit codes are in files that the job's tasks write.
    """

    def __init__(self, job: str, process: "subprocess.Popen[str]") -> None:
        self.job, self.process = job, process
        self.lost = False  # nobody could say what has become of the job
        self.gone: Optional[float] = None  # since when it has not been in the queue
        self.last = self.asked = 0.0  # the last sign of life, and the last question

    def heard(self) -> None:
        """Note a sign of life."""
        self.last = time.time()

    def over(self) -> bool:
        """Whether no more exit codes can come."""
        now = time.time()
        if self.process.poll() is None:
            self.last = now
            return False
        if not self.job:
            return True
        if self.gone is not None:
            return now - self.gone > GRACE[bool(self.process.returncode)]
        if now - self.asked > PAUSE:
            self.asked = now
            there = _in_queue(self.job)
            if there:
                self.last = now
            elif there is not None:
                self.gone = now
        self.lost = now - self.last > PATIENCE
        return self.lost


def run_slurm(
    lines: List[str],
    logs: List[Path],
    options: Dict[str, str],
    poll: Callable[[], None],
) -> List[int]:
    """Submit the shell lines as one job array and wait; returns their exit codes."""
    conf = Path(options["config"]).read_text() if "config" in options else SLURM_CONF
    work = logs[0].parent / "q"
    work.mkdir(parents=True, exist_ok=True)
    stem = f"{logs[0].stem}.{os.getpid()}.{time.time_ns()}"  # of no run before
    script, threads = work / f"{stem}.sh", options.get("num_threads", "1")
    cases, ends = [], []
    for i, (line, log) in enumerate(zip(lines, logs), 1):
        quoted, end = shlex.quote(str(log)), work / f"{stem}.code.{i}"
        ends.append(end)
        cases.append(
            f"{i}) log={quoted}; end={shlex.quote(str(end))}\n"
            f"  line={shlex.quote(line)} ;;\n"
        )
    script.write_text(
        "#!/usr/bin/env bash\n"
        f"cd {shlex.quote(os.getcwd())} || exit 1\n"
        "if [ -f ./path.sh ]; then . ./path.sh; fi\n"
        'case "${SLURM_ARRAY_TASK_ID}" in\n' + "".join(cases) + "esac\n"
        "start=$(date +%s)\n"
        '{ echo "# ${line}"; echo "# Running on $(hostname)"\n'
        '  echo "# Started at $(date)"; echo "#"; } > "${log}"\n'
        'bash -c "${line}" >> "${log}" 2>&1 < /dev/null\n'
        "code=$?\n"
        "seconds=$(($(date +%s) - start))\n"
        f'{{ echo "# Accounting: time=${{seconds}} threads={threads}"\n'
        '  echo "# Ended (code ${code}) at $(date), elapsed time ${seconds} seconds"\n'
        '} >> "${log}"\n'
        'echo "${code}" > "${end}"\n'
        "exit ${code}\n"
    )
    command, extra = slurm_options(conf, options)
    array = f"1-{len(lines)}"
    if "max_jobs_run" in options:
        array += f"%{int(options['max_jobs_run'])}"
    submit = command + extra + ["--parsable", "--wait", f"--array={array}"]
    output = str(work / (stem + ".sbatch.log")).replace("%", "%%")
    submit += ["--open-mode=append", f"--output={output}"]

    def stop(signum, frame):
        raise SystemExit(128 + signum)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    codes: List[Optional[int]] = [None] * len(ends)
    process, job = _submit([*submit, str(script)], work / (stem + ".sbatch.err"))
    try:
        watch = _Watch(job, process)
        while True:
            for i, end in enumerate(ends):
                if codes[i] is None and end.exists() and end.read_text().strip():
                    codes[i] = int(end.read_text())
                    watch.heard()
            poll()
            if None not in codes or watch.over():
                break
            time.sleep(0.5)
    except SystemExit:
        _end(process, job)
        raise
    if watch.lost:
        print(
            f"run.py: Slurm has said nothing of job {job} for {PATIENCE / 60:.0f} "
            "minutes, it is given up",
            file=sys.stderr,
        )
    _end(process, job if watch.lost else "")  # sbatch would only go on waiting
    poll()
    return [(process.returncode or 1) if code is None else code for code in codes]

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
    stem = f"{logs[0].stem}.{os.getpid()}.{time.time():.0f}"
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
    submit += ["--open-mode=append", f"--output={work / (stem + '.sbatch.log')}"]
    # in a session of its own, so that Ctrl-C reaches only this program
    process = subprocess.Popen(
        [*submit, script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )

    def stop(signum, frame):
        raise SystemExit(128 + signum)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    job, deadline = "", None
    codes: List[Optional[int]] = [None] * len(ends)
    try:
        job = process.stdout.readline().strip().split(";")[0]
        while None in codes:
            for i, end in enumerate(ends):
                if codes[i] is None and end.exists() and end.read_text().strip():
                    codes[i] = int(end.read_text())
            poll()
            if process.poll() is not None:
                grace = 1 if process.returncode else 30  # file systems lag behind
                deadline = deadline or time.time() + grace
                if time.time() > deadline:
                    break
            if None in codes:
                time.sleep(0.5)
    except SystemExit:
        job = job or process.stdout.readline().strip().split(";")[0]
        if job:
            subprocess.call(["scancel", job])
            print(f"run.py: job {job} was cancelled", file=sys.stderr)
        raise
    finally:
        process.kill()  # it would only go on waiting
        process.wait()
    poll()
    return [(process.returncode or 1) if code is None else code for code in codes]

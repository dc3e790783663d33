# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A private Slurm of two nodes on this machine, if its programs are installed."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun")
CONF = """
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=2
EpilogMsgTime=0
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
MailProg=/bin/true
SlurmdParameters=config_overrides
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(number: int) -> List[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def private_slurm(folder: Path) -> Iterator[Dict[str, str]]:
    """Start the daemons in `folder`; yields the environment for Slurm's commands.

    Skips the test where a program is missing or a daemon does not start.
    """
    path = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        pytest.skip(f"Slurm is not installed ({', '.join(missing)} missing)")
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "state").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    conf = folder / "slurm.conf"
    host = socket.gethostname().split(".")[0]
    conf.write_text(
        CONF.format(
            host=host, folder=folder, user=getpass.getuser(), ports=free_ports(3)
        )
    )
    env = dict(os.environ, SLURM_CONF=str(conf), PATH=path)
    files = {"key": "key", "socket": "socket", "pid": "pid", "log": "log"}
    munge = [
        f"--{k}-file={folder}/munge.{v}" for k, v in files.items() if k != "socket"
    ]
    munge += [f"--socket={folder}/munge.socket", f"--seed-file={folder}/munge.seed"]
    commands = [["munged", "--foreground", "--force", *munge]]
    commands += [["slurmctld", "-D", "-f", str(conf)]]
    commands += [["slurmd", "-D", "-f", str(conf), "-N", n] for n in ("one", "two")]
    daemons = []
    try:
        for command in commands:
            with open(folder / "daemons.log", "a") as log:
                daemons.append(
                    subprocess.Popen(command, env=env, stdout=log, stderr=log)
                )
            time.sleep(0.5)
        deadline = time.time() + 60
        idle = ""
        while idle.split() != ["idle", "idle"]:
            if time.time() > deadline or any(d.poll() is not None for d in daemons):
                log = (folder / "daemons.log").read_text().splitlines()
                pytest.skip(f"Slurm does not start here: {' '.join(log[-2:])}")
            time.sleep(0.5)
            asked = ["sinfo", "-h", "-N", "-o", "%T"]
            idle = subprocess.run(asked, env=env, capture_output=True, text=True).stdout
        yield env
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

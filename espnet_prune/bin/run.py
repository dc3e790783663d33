# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Launch one job or an array of jobs, with the command line of Kaldi's run.pl.

    python -m espnet_prune.bin.run [options] [JOB=1:N] LOG COMMAND [ARG ...]

`JOB` is replaced by the job's number in LOG and COMMAND, where it is not a part of
a longer word or the name of something that is there. Every job's output goes
to its LOG, between a header (the command and the time) and a footer (the exit code
and the elapsed time). The exit code is 0 if every job ended with 0, otherwise 1; it is
2 if a job ended with 2 and one line `NAME: error: ...`, which is then printed.

Options of either backend:
    --backend local|slurm  where the jobs run (default: local)
    --max_jobs_run N       at most N of them at a time (default: the CPU cores;
                           for slurm: no limit)
    --num_threads N --gpu N --mem M --time T --name NAME
                           what slurm is asked for; the local backend ignores them
    --num_nodes N          slurm only: run the command, a training, on N nodes at once:
                           by srun, with ESPnet's options for distributed training
    --config FILE          slurm only: how these become sbatch options, in the form
                           of Kaldi's slurm.conf
    --show REGEX           print the log lines that match, while the jobs run
    --count REGEX --total N
                           count the matching lines; print N done and an ETA, if
                           Python has tqdm
    --keep_logs N          keep the last N logs of the same name as LOG.1, LOG.2, ...
Option names may be written with '-' or '_'. It needs nothing but Python's
standard library, and the jobs run by `bash -c` in the current directory.
"""

import sys
from typing import List, Optional


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    words = sys.argv[1:] if cmd is None else cmd
    if not words or words[0] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if words else 2)
    from espnet_prune.jobs.launcher import launch

    sys.exit(launch(words))


if __name__ == "__main__":
    main()

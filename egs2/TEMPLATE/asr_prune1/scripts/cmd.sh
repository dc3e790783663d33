# shellcheck shell=bash
# ====== About run.py ======
# Every job goes through one launcher with the command line of Kaldi's run.pl:
#   python3 -m espnet_prune.bin.run [--num_threads N --gpu N --mem M] [JOB=1:N] LOG COMMAND ...
# Backends: local (processes on this machine) and slurm (sbatch --wait --array).
# Options for all jobs of a kind can be added here, e.g. --max_jobs_run 4; how slurm
# is asked for memory, GPUs and partitions is written in conf/slurm.conf, in Kaldi's
# form; without that file the built-in one is used. It has a --help.

cmd_backend=${cmd_backend:-local}
num_nodes=${num_nodes:-1}    # slurm only: machines for one training, NGPU GPUs each

case "${cmd_backend}" in
    local) _run="python3 -m espnet_prune.bin.run" ;;
    slurm)
        _run="python3 -m espnet_prune.bin.run --backend slurm"
        if [ -f conf/slurm.conf ]; then _run+=" --config conf/slurm.conf"; fi ;;
    *)
        echo "cmd.sh: error: unknown cmd_backend '${cmd_backend}' (local or slurm)" >&2
        exit 2 ;;
esac

export train_cmd="${_run}"   # data, statistics, cutting, measuring
export cuda_cmd="${_run} --num_nodes ${num_nodes}" # training
export decode_cmd="${_run}"  # decoding

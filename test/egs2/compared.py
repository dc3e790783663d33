# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Stand-ins for the tests of comparisons: a recipe, its results, its sizes."""

from pathlib import Path

from espnet_prune.bin import compare
from espnet_prune.utils import UserError, read_yaml, write_yaml

DECODE = "decode_asr_asr_model_valid.acc.ave"
FAKE = r"""#!/usr/bin/env bash
# a stand-in for a recipe: notes its calls, fails where it is told to, and
# leaves the results that lie in to_copy
all="$*"
while [ $# -gt 0 ]; do
    case "$1" in
        --dense_exp) exp=${exp:-$2} ;;
        --prune_exp) exp=$2 ;;
        --stop_stage) [ "$2" != 10 ] || exp=data ;;
    esac
    shift
done
name=${exp##*/}
echo "${name}: ${all}" >> calls.txt
sleep 0.1
[ ! -e "fail_${name}" ] || exit 1
mkdir -p "${exp}"
if [ -d "to_copy/${name}" ]; then cp -r "to_copy/${name}/." "${exp}"; fi
echo "${name} has ended" >> ends.txt
"""
WIDTHS = dict(wave_channels=[6, 6], linear_units=[9, 9], kept_blocks=[0, 1])
SIZES = dict(
    total_params=2_000_000, frames=1000, bytes=8_000_000, sha256="0", structure=WIDTHS
)
BASE = {
    **{"dense": "train.yaml", "select": "prune.yaml", "recover": "recover.yaml"},
    **{"sizes": [50, 70], "seeds": [1, 2], "test_sets": ["dev", "test"]},
    **{"expdir": "exp", "options": {"token_type": "char"}},
}


def write_recipe():
    """Configurations of a comparison, and a stand-in for prune.sh."""
    budget = {"kind": "params", "sparsity": 0.1, "frames": 1000}
    prune = {"method": "l0", "budget": budget, "distill_conf": {"w_ctc": 1.0}}
    write_yaml({**prune, "train_conf": {"max_epoch": 6}}, "prune.yaml")
    write_yaml({"method": "magnitude", "budget": budget}, "m.yaml")
    recover = {"max_epoch": 4, "scheduler_conf": {"first_cycle_steps": 100}}
    write_yaml({**recover, "distill_conf": {"w_ctc": 1.0}}, "recover.yaml")
    dense = {"encoder": "conformer", "max_epoch": 30, "optim": "adam"}
    write_yaml(dense, "train.yaml")
    Path("prune.sh").write_text(FAKE)
    Path("prune.sh").chmod(0o755)


def calls():
    """The calls of the stand-in, "NAME: OPTIONS" each."""
    path = Path("calls.txt")
    return path.read_text().splitlines() if path.is_file() else []


def write_results(exp, errors, decode=DECODE, sets=("dev", "test")):
    """A scored model: utterances of ten words per set, with these errors."""
    for s in sets:
        for measure in ("wer", "cer"):
            folder = exp / decode / s / f"score_{measure}"
            folder.mkdir(parents=True)
            lines = [
                f"id: (spk-u{i})\nScores: (#C #S #D #I) {10 - n} {n} 0 0\n"
                for i, n in enumerate(errors)
            ]
            (folder / "result.txt").write_text("".join(lines))
    for name in ("config.yaml", "valid.acc.ave.pth"):
        (exp / name).touch()


def written(job):
    """The YAML that a job's options name last."""
    names = [word for word in job.options if word.endswith(".yaml")]
    return [read_yaml(name) for name in names]


def run(*words):
    """Run the comparison; returns its failed jobs, and who was called."""
    failed = None
    try:
        compare.main(["compare.yaml", *words])
    except UserError as error:
        failed = str(error)
    return failed, [line.split(":")[0] for line in calls()]


def measured(entries, frames, runs):
    """Instead of building models: dense, and half of it."""
    half = {**WIDTHS, "wave_channels": [3, 2], "linear_units": [0, 5]}
    found = []
    for entry in entries:
        n = 1 + ("dense" not in entry.name)
        sizes = dict(encoder_params=2_000_000 // n, gmacs=1.0 / n)
        latency = {"min_ms": 60.0 / n} if runs else 0
        own = {**SIZES, "structure": half if n > 1 else WIDTHS}
        found.append({**own, **sizes, "name": entry.name, "latency": latency})
    return found

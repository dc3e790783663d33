# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Stand-ins for the tests of comparisons: a recipe, its results, its sizes."""

from pathlib import Path

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

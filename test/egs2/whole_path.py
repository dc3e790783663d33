#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Run a LibriSpeech recipe from the corpus on disk to the packed model, on little data.

    python test/egs2/whole_path.py --espnet_root /path/to/espnet --output_dir OUT
    python test/egs2/whole_path.py ... -- --stop_stage 5 --speed_perturb_factors ""

lays speech out as LibriSpeech does (librispeech_layout.py), copies the recipe to
OUT/egs2, and calls its run.sh with small sizes: ESPnet's own local/data.sh and asr.sh
make the data and the language model, the rest is ours, stage 22 included. What follows
`--` is added to the call. Called again, it goes on where it stopped. The log is
OUT/run.log; the stages and their times are printed at the end.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from espnet_prune.utils import UserError, run_main

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = ROOT / "test/egs2/librispeech_layout.py"
ENCODER = "output_size=32 linear_units=64 num_blocks=4 interctc_layer_idx=[2]".split()
TRAIN = ["--max_epoch 1 --use_amp false --num_workers 0 --batch_bins 8000000"]
TRAIN += ["--accum_grad 1 --keep_nbest_models 1 --frontend_conf n_mels=40"]
TRAIN += [f"--encoder_conf {value}" for value in ENCODER]
LM = "--max_epoch 1 --num_iters_per_epoch 4 --lm_conf unit=16 --lm_conf nlayers=1"
SMALL: Dict[str, str] = {
    "ngpu": "0",
    "nj": "1",
    "inference_nj": "1",
    "nbpe": "40",
    "speed_perturb_factors": "0.9 1.0",
    "use_lm": "true",
    "asr_opts": f"--lm_args '{LM} --keep_nbest_models 1'",
    "asr_config": "conf/train_transformer_ctc_interctc_sd.yaml",
    "asr_args": " ".join(TRAIN),
    "inference_config": "conf/decode_ctc.yaml",
    "inference_args": "--beam_size 2 --ctc_weight 1.0 --lm_weight 0.1",
    "inference_asr_model": "valid.cer_ctc.ave.pth",
    "prune_config": "conf/prune_ondemand.yaml",
    "prune_args": "--num_remove 2",
    "recover_config": "none",
    "skip_packing": "false",
}
STAGE = re.compile(r"(\S+) \(\w+\.sh:\d+:(\w+)\) Stage (\d+): (.*)")


def copy_recipe(output_dir: Path, corpus: str) -> Path:
    """Copy a recipe, and what it links, to OUTPUT_DIR; returns its directory there."""
    ignore = shutil.ignore_patterns("exp", "dump", "data", "downloads", "__pycache__")
    for name in ("TEMPLATE", corpus):
        target = output_dir / "egs2" / name / "asr_prune1"
        if not target.exists():
            source = ROOT / "egs2" / name / "asr_prune1"
            shutil.copytree(source, target, symlinks=True, ignore=ignore)
    (output_dir / "tools").mkdir(exist_ok=True)
    for name in ("extra_path.sh", "activate_python.sh"):
        shutil.copy(ROOT / "tools" / name, output_dir / "tools" / name)
    if not (output_dir / "espnet_prune").exists():
        (output_dir / "espnet_prune").symlink_to(ROOT / "espnet_prune")
    return output_dir / "egs2" / corpus / "asr_prune1"


def lay_out(speech: Optional[Path], output_dir: Path, options: Sequence[str]) -> None:
    """Write OUTPUT_DIR/LibriSpeech, unless it is there already.

    Raises:
        UserError: It could not be made.
    """
    if (output_dir / "LibriSpeech" / "LICENSE.TXT").is_file():
        return
    command = [sys.executable, str(LAYOUT), "--output_dir", str(output_dir), *options]
    if speech is not None:
        command += ["--corpus", str(speech)]
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    if subprocess.call(command, env=env):
        raise UserError("the corpus was not made; the message stands above")


def run_recipe(folder: Path, espnet_root: Path, options: Sequence[str]) -> List[str]:
    """Call run.sh; its output is shown, and appended to run.log.

    Returns:
        The lines of this call.

    Raises:
        UserError: It ended with an error.
    """
    output_dir = folder.parents[2]
    env = dict(os.environ, ESPNET_ROOT=str(espnet_root.resolve()), OMP_NUM_THREADS="1")
    # stages call python3: the one that runs this script
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    env.setdefault("ESPNET_PRUNE_VENV", str(Path(sys.executable).parent.parent))
    command = ["./run.sh", "--downloads", str(output_dir.resolve()), *options]
    lines = []
    with open(output_dir / "run.log", "a", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            log.write(line)
            log.flush()
            print(line, end="", flush=True)
    if process.wait():
        raise UserError(f"{folder}: run.sh ended with an error, see {log.name}")
    return lines


def stage_times(lines: Sequence[str]) -> List[Tuple[int, str, float]]:
    """Return (number, title, seconds) of every stage that prune.sh tells of.

    A stage lasts until the next one begins, or until the end.
    """
    begun: List[Tuple[int, str, datetime]] = []
    end = None
    for line in lines:
        match = STAGE.match(line)
        own = match and match[2] in ("begin", "main", "lm_stage")
        if match and own and "asr.sh" not in line and "perplexity" not in line:
            begun.append((int(match[3]), match[4], datetime.fromisoformat(match[1])))
        if "Finished in" in line:
            end = datetime.fromisoformat(line.split()[0])
    times = [when for _, _, when in begun[1:]] + [end or begun[-1][2]]
    return [
        (number, title, (after - when).total_seconds())
        for (number, title, when), after in zip(begun, times)
    ]


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--espnet_root", type=Path, help="default ESPNET_ROOT")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, help="speech, default synthesised")
    parser.add_argument("--recipe", default="librispeech_100", help="folder of egs2")
    parser.add_argument(
        "--layout_args",
        default="--train_utts 40 --eval_utts 8",
        help="options of librispeech_layout.py",
    )
    parser.add_argument("options", nargs="*", help="options of run.sh, after --")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    checkout = args.espnet_root or os.environ.get("ESPNET_ROOT")
    if not checkout or not Path(checkout, "egs2/TEMPLATE/asr1/asr.sh").is_file():
        raise UserError("give --espnet_root, or ESPNET_ROOT, a checkout of ESPnet")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    lay_out(args.corpus, args.output_dir, args.layout_args.split())
    folder = copy_recipe(args.output_dir, args.recipe)
    options = [word for name, value in SMALL.items() for word in (f"--{name}", value)]
    lines = run_recipe(folder, Path(checkout), [*options, *args.options])
    print("\n| stage | | seconds |\n|---:|---|---:|")
    for number, title, seconds in stage_times(lines):
        print(f"| {number} | {title} | {seconds:.0f} |")


if __name__ == "__main__":
    run_main(main)

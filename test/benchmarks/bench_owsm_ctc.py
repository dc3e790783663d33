# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Selections on a model as large as OWSM-CTC v4 1B: time and memory.

    python test/benchmarks/bench_owsm_ctc.py --folder WORK [--audio DIR] [--utts 20]
        [--only obs] [--output test/results/owsm_ctc.json]

The model is of espnet/owsm_ctc_v4_1B's sizes with random weights, the utterances are
30 s of noise, or of the audio below --audio in a row. Each selection is a command of
its own, with one thread by OMP_NUM_THREADS=1; its peak of memory is what the system
says of the process. WORK takes 9 GB, and is used again. The last line is JSON; the exit
code is 1, with a sentence, where a selection takes more than 16 GB.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
LIMIT_GB, RATE, SECONDS = 16.0, 16000, 30
VOCABULARY, BLOCKS = 50002, 27
SYMBOLS = ["<blank>", "<unk>", "<na>", "<nolang>", "<eng>", "<asr>", "<sop>"]
CONFIG: Dict[str, Any] = {
    "token_type": "bpe",
    "bpemodel": None,
    "preprocessor": "s2t_ctc",
    "preprocessor_conf": {"na_symbol": "<na>", "speech_length": SECONDS},
    "frontend_conf": {"n_fft": 512, "win_length": 400, "hop_length": 160},
    "specaug": None,
    "encoder": "e_branchformer_ctc",
    "encoder_conf": {
        "output_size": 1024,
        "attention_heads": 16,
        "attention_layer_type": "selfattn",
        "pos_enc_layer_type": "abs_pos",
        "cgmlp_linear_units": 4096,
        "cgmlp_conv_kernel": 31,
        "num_blocks": BLOCKS,
        "input_layer": "conv2d8",
        "linear_units": 4096,
        "use_ffn": True,
        "macaron_ffn": True,
        "merge_conv_kernel": 31,
        "interctc_layer_idx": [6, 12, 15, 21],
        "interctc_use_conditioning": True,
        # every third block attends to the prompt
        "use_cross_attention": [block % 3 == 2 for block in range(BLOCKS)],
    },
    "promptencoder": "transformer",
    "promptencoder_conf": {
        "output_size": 512,
        "attention_heads": 8,
        "linear_units": 2048,
        "num_blocks": 4,
    },
    "model": "espnet_ctc",
    "model_conf": {
        "interctc_weight": 0.8,
        "ctc_asr_only": [True, True, True, False, False],
    },
}
CONFIG["frontend_conf"].update(fs="16k", n_mels=128)
HALF = {"kind": "params", "sparsity": 0.5}


def selections(utts: int) -> Dict[str, Dict[str, Any]]:
    """Return what is selected, by name."""
    obs = {"num_utts": utts, "powers": [0.0]}
    layers = {"method": "layers", "num_remove": 4}
    return {
        "magnitude": {"method": "magnitude", "budget": HALF},
        "layers": {**layers, "layers_conf": {"search": "truncate"}},
        "obs": {"method": "obs", "budget": HALF, "obs_conf": obs},
    }


def make_model(folder: Path) -> None:
    """Write config.yaml and model.pth, with random weights."""
    import torch

    from espnet_prune.models import build_model
    from espnet_prune.utils import write_yaml

    number = VOCABULARY - len(SYMBOLS) - 2
    tokens = [*SYMBOLS, *(f"t{i}" for i in range(number)), "<sos>", "<eos>"]
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml({**CONFIG, "token_list": tokens}, folder / "config.yaml")
    torch.manual_seed(0)
    model = build_model({**CONFIG, "token_list": tokens})
    torch.save(model.state_dict(), folder / "model.pth")


def make_speech(folder: Path, audio: Optional[Path], utts: int) -> None:
    """Write utterances of 30 s: noise, or the files of a folder in a row."""
    import numpy as np
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    size = RATE * SECONDS
    speech = 0.1 * np.random.default_rng(0).standard_normal(utts * size)
    if audio is not None:
        files = (p for p in sorted(audio.rglob("*")) if p.suffix in (".wav", ".flac"))
        found: List[Any] = []
        while sum(map(len, found)) < len(speech):
            found.append(soundfile.read(next(files))[0])
        speech = np.concatenate(found)
    for i in range(utts):
        part = speech[i * size : (i + 1) * size]
        soundfile.write(folder / f"u{i:02}.wav", part, RATE)


def run(words: List[str]) -> Dict[str, Any]:
    """Run a command; return its seconds, its peak of memory and what it printed."""
    begin = time.time()
    child = subprocess.Popen(
        [sys.executable, "-m", "espnet_prune", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    said = child.stdout.read().strip().splitlines()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{' '.join(words)} ended with {status}")
    return {
        "seconds": round(time.time() - begin, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gb": round(usage.ru_maxrss * 1024 / 1e9, 2),
        **json.loads(said[-1]),
    }


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="9 GB on disk")
    parser.add_argument("--audio", type=Path, help="what is said; noise by default")
    parser.add_argument("--utts", type=int, default=20, help="that calibrate")
    parser.add_argument("--only", action="append", choices=list(selections(1)))
    parser.add_argument("--output", type=Path)
    return parser


def main() -> None:
    """Make the model, select, and say what it took."""
    from espnet_prune.utils import read_json, write_json, write_yaml

    args = get_parser().parse_args()
    model, speech = args.folder / "model", args.folder / f"speech_{args.utts}"
    if not (model / "model.pth").exists():
        make_model(model)
    # one in six judges
    make_speech(speech, args.audio, args.utts + -(-args.utts // 6))
    pair = ["--model_config", str(model / "config.yaml")]
    pair += ["--model_file", str(model / "model.pth")]
    kept = args.output and args.output.exists()
    record: Dict[str, Any] = read_json(args.output) if kept else {}
    for name, conf in selections(args.utts).items():
        if args.only and name not in args.only:
            continue
        out = args.folder / name
        write_yaml(conf, args.folder / f"{name}.yaml")
        words = ["select", "--config", str(args.folder / f"{name}.yaml"), *pair]
        words += ["--output_dir", str(out)]
        if name == "obs":
            words += ["--calibration", str(speech)]
        record[name] = run(words)
        if name == "obs":
            record[name]["utterances_of_30_s"] = args.utts
            record[name]["audio"] = "speech" if args.audio else "noise"
        if args.output:
            write_json(record, args.output)
        print(name, record[name], file=sys.stderr)
    print(json.dumps(record))
    large = [name for name, row in record.items() if row["peak_gb"] > LIMIT_GB]
    if large:
        sys.exit(f"{', '.join(large)}: more than {LIMIT_GB:g} GB")


if __name__ == "__main__":
    main()

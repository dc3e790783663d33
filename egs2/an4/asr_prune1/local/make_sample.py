#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make sample/: a trained model in half precision, and a dozen test utterances.

    local/make_sample.py --model exp/d25/dense_s0 --data_dir /path/to/an4

The utterances are the shortest of two words and more: one of every speaker, then those
that fill the dozen. `test/text.greedy` is what the model makes of them by greedy CTC.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping

import torch

from espnet_prune.data.calibration import find_audio
from espnet_prune.data.corpus import read_corpus_set, write_dir
from espnet_prune.data.tables import Table, write_table
from espnet_prune.model_files import find_checkpoint
from espnet_prune.models import load_model, read_model_config
from espnet_prune.select.layers.dev_data import load_batches
from espnet_prune.utils import (
    atomic_torch_save,
    command_parser,
    load_tensors,
    run_main,
    write_yaml,
)

NUMBER = 12
STATS = "model/feats_stats.npz"
# what names files that are not in the sample
LEFT_OUT = ("config", "train_shape_file", "valid_shape_file")


def shortest(tables: Mapping[str, Table]) -> List[str]:
    """Choose the utterances."""
    size = {utt: Path(path).stat().st_size for utt, path in tables["wav.scp"].items()}
    words = {utt: len(text.split()) for utt, text in tables["text"].items()}
    keys = sorted((utt for utt in size if words[utt] > 1), key=lambda utt: size[utt])
    first: Dict[str, str] = {}
    for utt in keys:
        first.setdefault(tables["utt2spk"][utt], utt)
    rest = [utt for utt in keys if utt not in first.values()]
    return sorted([*first.values(), *rest[: NUMBER - len(first)]])


def halved(state: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a state dict in half precision; the statistics of the features stay."""
    return {
        key: (
            value.half()
            if value.is_floating_point() and not key.startswith("normalize.")
            else value
        )
        for key, value in state.items()
    }


def write_model(exp: Path, folder: Path) -> None:
    """Write config.yaml, which names no file but the statistics, and the weights."""
    config = read_model_config(exp / "config.yaml")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(config["normalize_conf"]["stats_file"], folder.parent / STATS)
    config["normalize_conf"] = {"stats_file": STATS}
    config.update(dict.fromkeys(LEFT_OUT), output_dir=folder.name)
    for split in ("train", "valid"):
        config[f"{split}_data_path_and_name_and_type"] = []
    write_yaml(config, folder / "config.yaml")
    weights = find_checkpoint(exp)
    atomic_torch_save(halved(load_tensors(weights)), folder / weights.name)


def greedy(folder: Path) -> Table:
    """Return what the model makes of the sample's utterances by greedy CTC."""
    model, config = load_model(
        folder / "model/config.yaml", find_checkpoint(folder / "model")
    )
    with tempfile.TemporaryDirectory() as name:
        audio = find_audio(folder / "test", config, Path(name))
        batches = load_batches(config, audio.write(Path(name)))
    texts = {}
    with torch.no_grad():
        for batch in batches:
            hidden, lengths = model.eval().encode(batch.speech, batch.lengths)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            texts.update(zip(batch.ids, batch.texts(model.ctc, hidden, lengths)))
    return dict(sorted(texts.items()))


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = command_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="directory")
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="AN4, with LICENSE"
    )
    parser.add_argument("--output_dir", type=Path, default=Path("sample"))
    return parser


def main() -> None:
    """Command line entry."""
    args = get_parser().parse_args()
    out = args.output_dir
    write_model(args.model, out / "model")
    tables = read_corpus_set(args.data_dir, "test")
    keys = shortest(tables)
    tables = {name: {k: table[k] for k in keys} for name, table in tables.items()}
    (out / "audio").mkdir(exist_ok=True)
    for utt, path in tables["wav.scp"].items():
        tables["wav.scp"][utt] = f"audio/{utt}.flac"
        shutil.copyfile(path, out / tables["wav.scp"][utt])
    write_dir(out / "test", tables)
    shutil.copyfile(args.data_dir / "LICENSE", out / "LICENSE")
    write_table(out / "test/text.greedy", greedy(out))


if __name__ == "__main__":
    run_main(main)

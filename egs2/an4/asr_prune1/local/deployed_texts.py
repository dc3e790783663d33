#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Compare what ONNX files and what ESPnet hear, utterance by utterance.

    local/deployed_texts.py --audio dump/raw/test --output deployed_texts.json \
        sample/model exp/d25/dense_s0

Greedily by CTC, and by the beam searches of conf/decode_*.yaml. Ends with 1 if a text
differs.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict

from espnet_prune.deploy.onnx.describe import decoding_of, write_tokens
from espnet_prune.deploy.onnx.package import export_model
from espnet_prune.deploy.proof.again import source_of
from espnet_prune.deploy.proof.texts import compare_texts
from espnet_prune.models import load_model
from espnet_prune.report.decoding import releases
from espnet_prune.source import find_model
from espnet_prune.utils import command_parser, read_mapping, run_main, write_json

SEARCHES = sorted((Path(__file__).parents[1] / "conf").glob("decode_*.yaml"))


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    parser.add_argument("models", nargs="+", help="experiment directories")
    parser.add_argument("--audio", required=True, help="data directory")
    parser.add_argument("--output", required=True, help="JSON")
    return parser


def heard(model: str, audio: str, folder: Path) -> Dict[str, Any]:
    """Deploy a model and compare what is heard; see `compare_texts`.

    Returns:
        The numbers of utterances, those alike by search, and those that differ.
    """
    source = find_model(model, folder / "source")
    whole, config = load_model(*source)
    out = folder / "out"
    result: Dict[str, Any] = {"utterances": 0, "alike": {}, "others": []}
    for path in SEARCHES:
        search = decoding_of(read_mapping(path), path)
        package = export_model(whole, config, out, search)
        write_tokens(config, out)
        found = compare_texts(out, source_of(*source), config, package, audio)
        result["utterances"] = found["utterances"]
        for name, number in found["alike"].items():
            key = name if name.startswith("ctc") else f"{name}, {path.name}"
            result["alike"][key] = number
        result["others"] += found["others"]
    return result


def main() -> None:
    """Run the command."""
    args = get_parser().parse_args()
    found: Dict[str, Any] = {}
    for model in args.models:
        with tempfile.TemporaryDirectory() as folder:
            row = heard(model, args.audio, Path(folder))
        found[model.replace("/model", "")] = row
        print(f"{model}: alike of {row['utterances']}: {row['alike']}", flush=True)
        searches = {path.name: read_mapping(path) for path in SEARCHES}
        write_json({"models": found, "searches": searches, **releases()}, args.output)
    if any(row["others"] for row in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)

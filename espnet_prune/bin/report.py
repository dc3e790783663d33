#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Report a pruning run: one table of the dense, the cut and the recovered model.

Writes RESULTS.md (in ESPnet's form), report.json, report.html and images/ to PRUNE_EXP
and prints the table. The encoders are timed here, in turns and on one thread.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from espnet_prune.utils import UserError, atomic_write, read_json, run_main, write_json

SEARCH_PICTURES = {
    "search": "The search over blocks",
    "similarity": "Similarity of the layers, and the runs of blocks removed",
}


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dense_exp", type=Path, required=True)
    parser.add_argument("--prune_exp", type=Path, required=True)
    parser.add_argument("--model", default="valid.acc.ave.pth", help="checkpoint")
    parser.add_argument(
        "--decode",
        default="decode_asr_asr_model_valid.acc.ave",
        help="name of the decoding directories; rates are left out where there is none",
    )
    parser.add_argument("--output_dir", type=Path, help="default PRUNE_EXP")
    parser.add_argument(
        "--frames",
        type=int,
        help="input frames for GMACs and time (default: what the model makes of 10 s)",
    )
    parser.add_argument("--runs", type=int, default=15, help="timed runs per encoder")
    return parser


def read_log(path: Path) -> List[Dict[str, Any]]:
    """Read select.jsonl, lines without step, or without what was reached, left out."""
    if not path.is_file():
        return []
    lines = [json.loads(x) for x in path.read_text().splitlines() if x.strip()]
    return [x for x in lines if "step" in x and any(k.startswith("reached") for k in x)]


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    if (args.frames is not None and args.frames < 20) or args.runs < 1:
        raise UserError("--frames must be at least 20 and --runs at least 1")
    from espnet_prune.report import plots
    from espnet_prune.report.page import page
    from espnet_prune.report.results import (
        add_scores,
        compression_table,
        entries,
        environment,
        made_by,
        measure,
        results_md,
        seconds_of,
    )

    rows = entries(args.dense_exp, args.prune_exp, args.model, args.decode)
    found = measure(rows, args.frames, args.runs)
    add_scores(found, rows)
    seconds = seconds_of(args.frames, rows[0].config)
    table = compression_table(found, seconds)
    structure = args.prune_exp / "cut" / "structure.json"
    provenance = {}
    if structure.is_file():
        provenance = read_json(structure).get("provenance", {})
    out = args.output_dir or args.prune_exp
    words = sys.argv[1:] if cmd is None else list(cmd)
    command = shlex.join(["python3", "-m", "espnet_prune.bin.report", *words])

    figure = plots.structure_figure(found[0]["structure"], found[-1]["structure"])
    plots.save_png(figure, out / "images" / "structure.png")
    pictures = [("What remains, block by block", plots.svg(figure))]
    log = read_log(args.prune_exp / "select" / "select.jsonl")
    if len(log) > 1:
        figure = plots.selection_figure(log)
        plots.save_png(figure, out / "images" / "selection.png")
        pictures.append(("The budget while selecting", plots.svg(figure)))
    for name, caption in SEARCH_PICTURES.items():
        path = args.prune_exp / "select" / "images" / f"{name}.png"
        if path.is_file():
            pictures.append((caption, plots.embedded(path, caption)))
    facts = {**provenance, "command": command, **dict(environment())}
    with atomic_write(out / "report.html") as stream:
        stream.write(page(f"Pruning report: {out.name}", table, pictures, facts))
    with atomic_write(out / "RESULTS.md") as stream:
        stream.write(results_md(found, rows, table, provenance, command))
    write_json(
        {
            "models": found,
            "frames": found[0]["frames"],
            "seconds": seconds,
            "provenance": provenance,
            "command": command,
            "environment": dict(environment()),
            "made_by": made_by(found),
        },
        out / "report.json",
    )
    print(f"{table}\n\n{made_by(found)}")
    print(f"\nwritten: {out}/RESULTS.md, report.json, report.html, images/")


if __name__ == "__main__":
    run_main(main)

#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Score decoded text: WER, CER and, with --bpemodel, TER, in ESPnet's table form.

With --sets "dev test" the texts are REF/SET/text and HYP/SET/text, and a row for all
sets together is added; without it REF and HYP are two text files. Files and score.json
go to HYP (or --output_dir), the tables to stdout. sclite counts where it is installed;
otherwise jiwer does, with the same counts. With --use_intent the first word of every
text is an intent: their accuracy comes first, all error rates are those of the rest.
"""

import argparse
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from espnet_prune.report import scoring
from espnet_prune.report.counts import BACKENDS, pick_backend
from espnet_prune.utils import UserError, run_main, write_json


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ref", type=Path, required=True, help="folder or text file")
    parser.add_argument("--hyp", type=Path, required=True, help="folder or text file")
    parser.add_argument("--sets", default="", help="quoted list of sets")
    parser.add_argument("--bpemodel", help="sentencepiece model for TER")
    parser.add_argument(
        "--use_intent", action="store_true", help="the first words are intents"
    )
    parser.add_argument("--against", type=Path, help="HYP of another system to compare")
    parser.add_argument("--output_dir", type=Path, help="default HYP, or its folder")
    parser.add_argument("--name", help="in the first column, default HYP's name")
    parser.add_argument("--backend", choices=BACKENDS, default="auto")
    parser.add_argument(
        "--bootstrap", type=int, default=10000, help="resamplings, or 0"
    )
    parser.add_argument(
        "--bootstrap_by",
        choices=["utterance", "speaker"],
        default="utterance",
        help="what is drawn with replacement",
    )
    return parser


def score(args: argparse.Namespace) -> Dict[str, Any]:
    """Score all sets; returns what score.json holds."""
    names = args.sets.split()
    if args.bootstrap < 0:
        raise UserError("--bootstrap must not be negative")
    backend = pick_backend(args.backend)
    out = args.output_dir or (args.hyp if names else args.hyp.parent)
    measures = scoring.tokenizers(args.bpemodel)

    def one(hyp: Path, folder: Path) -> Dict[str, scoring.SetResult]:
        how = (backend, args.use_intent)
        if not names:
            return {"": scoring.score_set(args.ref, hyp, measures, folder, *how)}
        result = {
            s: scoring.score_set(
                args.ref / s / "text", hyp / s / "text", measures, folder / s, *how
            )
            for s in names
        }
        if len(names) > 1:
            result["+".join(names)] = scoring.join(list(result.values()))
        return result

    this = one(args.hyp, out)
    other = one(args.against, out / "against") if args.against else {}
    sets: Dict[str, Dict[str, Any]] = {}
    for s, result in this.items():
        groups = result.speakers if args.bootstrap_by == "speaker" else None
        sets[s] = {}
        for measure, counts in result.counts.items():
            sets[s][measure] = scoring.figures(measure, counts, groups, args.bootstrap)
            if other and args.bootstrap:
                sets[s][measure]["against"] = scoring.compare(
                    measure, counts, other[s].counts[measure], groups, args.bootstrap
                )
    summary: Dict[str, Any] = {"backend": backend, "sets": sets}
    if args.against:
        summary["against"] = str(args.against)
    write_json(summary, out / "score.json")
    return summary


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    summary = score(args)
    name = args.name or (args.hyp.name if args.sets else args.hyp.parent.name)
    print(scoring.tables(name, summary["sets"]))


if __name__ == "__main__":
    run_main(main)

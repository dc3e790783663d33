#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Score decoded text: WER, CER and, with --bpemodel, TER, in ESPnet's table form.

With --sets "dev test" the texts are REF/SET/text and HYP/SET/text, and a row for all
sets together is added; without it REF and HYP are two text files. Files and score.json
go to HYP (or --output_dir), the tables to stdout. sclite counts where it is installed;
otherwise jiwer does, with the same counts. With --use_intent the first word of every
text is an intent: their accuracy comes first, all error rates are those of the rest.

As in asr.sh every utterance counts, one with an empty reference by its insertions; the
references are cleaned as the model's training texts were, and WER and CER leave out
non-linguistic symbols. Where REF/org/SET is there, which is the set before training has
left out what it cannot use, the references are from there.
"""

import argparse
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from espnet_prune.data.corpus import whole_set
from espnet_prune.report import scoring
from espnet_prune.report.bootstrap import speakers_of
from espnet_prune.report.counts import BACKENDS, pick_backend
from espnet_prune.report.tables import tables
from espnet_prune.symbols import read_symbols
from espnet_prune.utils import UserError, read_mapping, run_main, write_json


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
    parser.add_argument(
        "--model_config",
        type=Path,
        help="config.yaml of the model, for its cleaner and (without --use_intent) its "
        "non_linguistic_symbols",
    )
    parser.add_argument("--cleaner", help="of the references, default the model's")
    parser.add_argument("--nlsyms_txt", help="default the model's; none: nothing")
    parser.add_argument("--against", type=Path, help="HYP of another system to compare")
    parser.add_argument("--output_dir", type=Path, help="default HYP, or its folder")
    parser.add_argument("--name", help="in the first column, default HYP's name")
    parser.add_argument("--backend", choices=BACKENDS, default="auto")
    parser.add_argument(
        "--bootstrap", type=int, default=10000, help="resamplings, or 0"
    )
    parser.add_argument(
        "--bootstrap_by",
        choices=["auto", "utterance", "speaker"],
        default="auto",
        help="what is drawn with replacement; auto: speakers, if utt2spk beside the "
        "references tells several with several utterances",
    )
    return parser


def model_options(args: argparse.Namespace) -> Tuple[Optional[str], List[str]]:
    """Return the cleaner and the non-linguistic symbols.

    Raises:
        UserError: The config or the file of the symbols cannot be read.
    """
    config = read_mapping(args.model_config) if args.model_config else {}
    symbols = args.nlsyms_txt
    if symbols is None and not args.use_intent:  # there they are the intents
        symbols = config.get("non_linguistic_symbols")
    found = [] if symbols in (None, "none") else read_symbols(symbols, "word")
    return args.cleaner or config.get("cleaner"), found


def score(args: argparse.Namespace) -> Dict[str, Any]:
    """Score all sets; returns what score.json holds."""
    names = args.sets.split()
    if args.bootstrap < 0:
        raise UserError("--bootstrap must not be negative")
    backend = pick_backend(args.backend)
    out = args.output_dir or (args.hyp if names else args.hyp.parent)
    cleaner, symbols = model_options(args)
    measures = scoring.tokenizers(args.bpemodel, symbols)

    def one(hyp: Path, folder: Path) -> Dict[str, scoring.SetResult]:
        how = (backend, args.use_intent, cleaner)
        if not names:
            return {"": scoring.score_set(args.ref, hyp, measures, folder, *how)}
        result = {
            s: scoring.score_set(
                whole_set(args.ref, s) / "text",
                hyp / s / "text",
                measures,
                folder / s,
                *how,
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
        groups: Optional[Sequence[str]] = None
        if args.bootstrap_by != "utterance":
            groups = speakers_of(result.speakers)
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
    print(tables(name, summary["sets"]))


if __name__ == "__main__":
    run_main(main)

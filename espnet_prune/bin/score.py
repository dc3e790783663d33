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
from typing import Optional, Sequence

from espnet_prune.report.counts import BACKENDS
from espnet_prune.report.scoring import score
from espnet_prune.report.tables import tables
from espnet_prune.utils import command_parser, run_main


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = command_parser(__doc__)
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


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    options = vars(get_parser().parse_args(cmd))
    name, hyp = options.pop("name"), options["hyp"]
    summary = score(**options)
    print(
        tables(name or (hyp if options["sets"] else hyp.parent).name, summary["sets"])
    )


if __name__ == "__main__":
    run_main(main)

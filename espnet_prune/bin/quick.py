#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make a model smaller in minutes, without training and without transcripts.

    quick --model exp/asr_x --audio some/speech --target 50%macs --output_dir small

loads an ESPnet model, calibrates on some of the audio, cuts what others can do the work
of, proves that what was written is what was meant, and prints before and after: sizes,
milliseconds, errors, texts that changed. TARGET says what is to remain of the encoder:

    50%macs  30%params  50%ms    a share of the multiply-accumulates, parameters, time
    40ms                         the time of 10 s of audio on one thread here
    800kparams  2Gmacs           an amount

--output_dir is an ESPnet experiment then (config.yaml, model.pth), with quick.json,
quick.md, and the path by which `sizes` writes any size above in seconds. A command that
was interrupted goes on, one that has finished says again what came out.
"""

import argparse
from typing import List, Optional

from espnet_prune.tasks import add_argument
from espnet_prune.utils import command_parser, run_main, setup_logging


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `quick` and `sizes` have in common."""
    parser.add_argument(
        "--num_utts", type=int, default=300, help="to calibrate on (default: 300)"
    )
    parser.add_argument("--text", help="transcripts: lines of UTTERANCE TEXT")
    parser.add_argument(
        "--dev", help="audio that judges, as --audio; default: some of it, kept aside"
    )
    parser.add_argument("--dev_text", help="transcripts of --dev")
    add_argument(parser)
    where = "latency.json of `latency`, for milliseconds; default: measured here"
    parser.add_argument("--latency", help=where)
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--ngpu", type=int, default=0, help="GPUs: 0 or 1")


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    add = parser.add_argument
    where = (
        "experiment directory, archive or tag of ESPnet's model zoo, checkpoint, or "
    )
    add("--model", required=True, help=f"{where}directory of a Hugging Face CTC model")
    where = "data directory, wav.scp, folder of audio files, or audio file"
    add("--audio", required=True, help=where)
    add("--target", required=True, help="what remains, see above")
    add("--output_dir", required=True)
    add_options(parser)
    add("--beam_size", type=int, default=5, help="of the recognition that is timed")
    add(
        "--recover",
        type=float,
        nargs="?",
        const=10.0,
        metavar="MINUTES",
        help="train the cut model for so long (default: 10), on the transcripts or, "
        "without, to say what the dense one says; it stays as it was cut if that "
        "does not help",
    )
    add("--sizes", action="store_true", help="write ten sizes, too, as `sizes` does")
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from espnet_prune.progress import tell_less
    from espnet_prune.quick.run import quick

    tell_less()
    quick(args)


if __name__ == "__main__":
    run_main(main)

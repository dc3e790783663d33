# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)
"""Stages 1-5 of ESPnet's asr.sh for corpora that are used without a checkout.

Called in a recipe directory, once per stage or for a range of them::

    python -m espnet_prune.bin.data_prep --stage 1 --stop_stage 5 --data_dir CORPUS \
        --train_set train --valid_set dev --test_sets "dev test" \
        --speed_perturb_factors "0.9 1.0 1.1" --token_type bpe --nbpe 30

| stage | reads | writes |
|---|---|---|
| 1 | CORPUS/SET/{wav.scp,text,utt2spk,segments} | the same in data/SET, and spk2utt |
| 2 | data/TRAIN | data/TRAIN_sp and its audio in dump/audio_sp |
| 3 | data/SET | dump/raw/org/{TRAIN,VALID}, dump/raw/TEST |
| 4 | dump/raw/org/SET | dump/raw/SET without too short, too long or empty |
| 5 | the TRAIN of stage 4 | data/token_list/{char,word,bpe_unigramN}/tokens.txt |

TRAIN is the train set with ``_sp`` appended where speed factors are given, as
in asr.sh: train with ``dump/raw/TRAIN_sp`` and ``exp/asr_stats_raw_..._sp``.
A set that is decoded, too, keeps all its utterances in ``dump/raw/SET``; what training
uses of it is in ``dump/raw/filtered/SET``. Relative paths in wav.scp are relative to
CORPUS; ``data/`` and ``dump/`` hold absolute ones. Not supported: pipes and arks in
wav.scp, several references.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from espnet_prune.data.prepare import Preparation
from espnet_prune.utils import command_parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options; the names are those of asr.sh."""
    parser = command_parser(__doc__)
    parser.add_argument("--stage", type=int, default=1, help="first stage, 1-5")
    parser.add_argument("--stop_stage", type=int, help="last stage (the first)")
    parser.add_argument(
        "--data_dir", type=Path, help="folder with train/, dev/, test/ (stage 1)"
    )
    parser.add_argument("--train_set", default="train")
    parser.add_argument("--valid_set", default="dev")
    parser.add_argument("--test_sets", default="test", help="quoted list")
    parser.add_argument("--speed_perturb_factors", default="", help="'0.9 1.0 1.1'")
    parser.add_argument("--token_type", choices=["char", "bpe", "word"], default="bpe")
    parser.add_argument("--nbpe", type=int, default=30)
    parser.add_argument("--nlsyms_txt", help="words that stay one token, one a line")
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate in Hz")
    parser.add_argument("--min_wav_duration", type=float, default=0.1, help="seconds")
    parser.add_argument("--max_wav_duration", type=float, default=20.0, help="seconds")
    parser.add_argument("--data", type=Path, default="data", help="where to write data")
    parser.add_argument(
        "--dumpdir", type=Path, default="dump", help="where to write dump"
    )
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the stages asked for."""
    options = vars(get_parser().parse_args(cmd))
    setup_logging()
    first, last = options.pop("stage"), options.pop("stop_stage")
    Preparation(**options).run(first, first if last is None else last)


if __name__ == "__main__":
    run_main(main)

#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Say what configurations mean, without data, before anything long is started.

Every model of --asr_config is built at its real size, with random weights, and takes
one training step on noise. Every selection of --prune_config is checked against each of
them: what it asks for, how far one could go, and what holds that up; so is the training
of --recover_config. A budget out of reach, or a wrong key, ends with exit code 2.

What is estimated:
  memory     of one GPU: weights, gradients and Adam's two moments in float32, and what
             is kept for the backward pass of a full batch, in proportion to the speech
             in it; half of that with AMP. The frameworks' own needs come on top.
  GPU hours  operations of a step x number of steps / --tflops. The training times that
             ESPnet's recipes state for their Conformers with AMP on V100 GPUs (57072 s
             on one for LibriSpeech-100, 3.5 days on four for LibriSpeech) are 7.8 and
             9.2 TFLOP/s when counted this way; 8 is our default. A teacher adds its
             forward pass; gates are not counted. A recovery is priced as if nothing
             had been cut.
"""

import argparse
from pathlib import Path
from typing import List, Optional

from espnet_prune.utils import UserError, command_parser, run_main, write_json


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("--asr_config", type=Path, nargs="+", required=True, help="dense trainings")
    add("--prune_config", type=Path, nargs="*", default=[], help="selections")
    add("--recover_config", type=Path, nargs="*", default=[], help="recoveries")
    for name in ("asr_args", "prune_args", "recover_args"):
        add(f"--{name}", default="", help="more options, in one string")
    add("--vocab", type=int, default=5000, help="number of tokens")
    add("--hours", type=float, help="speech in an epoch, all speeds; no GPU hours else")
    add("--seconds", type=float, default=10.0, help="length of the utterance")
    add("--tflops", type=float, default=8.0, help="sustained by a GPU, 1e12 a second")
    add("--ngpu", type=int, default=1, help="GPUs that share a batch")
    add("--json", help="write JSON to this file, too")
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command.

    Raises:
        UserError: Bad input; or, after all has been printed, a selection that cannot
            be done with a model.
    """
    options = vars(get_parser().parse_args(cmd))
    import torch

    from espnet_prune.measure.forecast import Assumed, forecast
    from espnet_prune.report.forecast import forecast_page

    torch.set_flush_denormal(True)
    target = options.pop("json")
    configs = [options.pop(f"{n}_config") for n in ("asr", "prune", "recover")]
    report, problems = forecast(*configs, Assumed(**options))
    if target:
        write_json({**report, "problems": problems}, target)
    print(forecast_page(report))
    if problems:
        raise UserError("; ".join(problems))


if __name__ == "__main__":
    run_main(main)

#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Decode with ESPnet's asr_inference, after the check that check_model makes.

The options are those of `espnet2.bin.asr_inference`. ESPnet itself decodes a checkpoint
that does not fit its config with random weights; this ends with exit code 2 instead.
Checking in the same process saves the seconds that loading ESPnet takes.
"""

import contextlib
import sys
from typing import List, Optional

from espnet_prune.utils import run_main


def main(cmd: Optional[List[str]] = None) -> None:
    """Check the model, then decode."""
    cmd = sys.argv[1:] if cmd is None else cmd
    import espnet_prune

    espnet_prune.register()
    with contextlib.redirect_stdout(sys.stderr):
        from espnet2.bin import asr_inference

    args = asr_inference.get_parser().parse_args(cmd)
    if args.asr_train_config and args.asr_model_file:
        from espnet_prune.models import load_model

        load_model(args.asr_train_config, args.asr_model_file)
    asr_inference.main(cmd)


if __name__ == "__main__":
    run_main(main)

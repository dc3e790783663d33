#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Decode with ESPnet's asr_inference, loading models as check_model does.

The options are those of `espnet2.bin.asr_inference`, or with --task of another module
(st_inference and so on), and --depth or --keep_blocks to run only some blocks of the
encoder. ESPnet itself decodes a checkpoint that does not
fit its config with random weights; this ends with exit code 2 instead.
"""

from typing import List, Optional

from espnet_prune.utils import run_main


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    from espnet_prune.deploy.decoding import decode

    decode(cmd)


if __name__ == "__main__":
    run_main(main)

#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Train a model: dense, with gates, or a pruned one, with or without a teacher.

The options are those of `espnet2.bin.asr_train`, or of st_train and so on, plus

    --base_config FILE     take the keys that define the model (tokens, frontend,
                           normalisation, encoder, decoder, ctc, model) from this
                           config.yaml; the YAML of --config and the command line
                           override them, a `*_conf` key by key as long as the class
                           stays the same
    --task NAME            ESPnet's task, e.g. st; by default that of --base_config
    --l0_conf              train with gates
    --distill_conf, --teacher_config, --teacher_model
                           distil from a dense model
    --depth_conf           train every depth, with the whole as teacher of the others

With `--resume true`, a killed run is continued by the same command and ends with the
same weights as a run that was never interrupted.
"""

import argparse
import sys
from typing import List, Optional

from espnet_prune.utils import run_main


def main(cmd: Optional[List[str]] = None) -> argparse.Namespace:
    """Run the command; return its options."""
    from espnet_prune.train.command import train

    return train(list(sys.argv[1:] if cmd is None else cmd), __doc__)


if __name__ == "__main__":
    run_main(main)

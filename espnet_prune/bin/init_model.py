#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write the model of a training configuration as it is before the first step.

For an encoder that brings its weights along, such as a self-supervised one: the result
can be pruned without labels, once, and trained for any task afterwards. The options are
those of the training; without --token_list there are only the special tokens, and the
heads on top of the encoder mean nothing.

    init_model --config conf/train_x.yaml --output_dir exp/x
"""

import sys
from typing import List, Optional

from espnet_prune.utils import run_main, setup_logging


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    setup_logging()
    from espnet_prune.train.initial import read_args, write_initial

    args = read_args(list(sys.argv[1:] if cmd is None else cmd), __doc__)
    number = write_initial(args)
    where = f"{args.output_dir}/config.yaml and model.pth"
    print(f"written: {where} ({number:,} parameters)")


if __name__ == "__main__":
    run_main(main)

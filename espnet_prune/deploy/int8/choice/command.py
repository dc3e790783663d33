# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the command `deploy` does about int8 and weights of few bits."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

from espnet_prune.deploy.int8.choice.package import quantise_package, small_weights
from espnet_prune.deploy.int8.choice.speech import find_speech
from espnet_prune.deploy.int8.choice.table import as_text
from espnet_prune.utils import UserError, write_json

REPORT = "int8.json"


def check_options(args: argparse.Namespace) -> None:
    """Refuse options that contradict each other.

    Raises:
        UserError: int8 without speech, or a loss that is none.
    """
    if args.int8 == "true" and not args.calibration:
        raise UserError(
            "--int8 true: nothing says what int8 loses; give speech by --calibration"
        )
    if not 0 <= args.max_wer_loss <= 100:
        raise UserError("--max_wer_loss must be points of an error rate, such as 0.5")


def write_smaller(
    args: argparse.Namespace, config: Mapping[str, Any], folders: Sequence[Path]
) -> Dict[str, Any]:
    """Write files in int8 and with weights of few bits, as far as they are asked for.

    What was measured is written to int8.json in each directory, too.

    Args:
        args: The command line.
        config: Content of the model's config.yaml.
        folders: The deployed model, then its sizes and depths, which lie in it.

    Returns:
        {int8: {name of a directory below: see `quantise_package`}, weights: {file:
        bytes}}, with "" for the model itself; as far as there are some.

    Raises:
        UserError: The speech cannot be read.
    """
    found: Dict[str, Any] = {}
    if args.calibration and args.int8 != "false":
        with tempfile.TemporaryDirectory() as place:
            given = args.calibration, config, Path(place), args.calibration_text
            speech = find_speech(*given)
        found["int8"] = {}
        for folder in folders:
            name = "" if folder == folders[0] else folder.name
            report = quantise_package(
                folder, speech, args.max_wer_loss, must_be_faster=args.int8 == "auto"
            )
            write_json(report, folder / REPORT)
            found["int8"][name] = report
            print(f"{name}\n{as_text(report)}".strip(), file=sys.stderr)
    elif args.int8 == "auto":
        logging.info("no int8: nothing says what it loses without --calibration")
    if args.weight_bits:
        found["weights"] = {}
        for folder in folders:
            for name, size in small_weights(folder, args.weight_bits).items():
                where = folder.relative_to(folders[0]) / name
                found["weights"][str(where)] = size
    return found

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's decoding of any task, of a model that is loaded strictly, at any depth."""

import argparse
import contextlib
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Optional

from espnet_prune.data.audio import tell_unreadable_lines
from espnet_prune.data.entries import check_entries
from espnet_prune.foreign import told
from espnet_prune.patches import replaced
from espnet_prune.report.decoding import note
from espnet_prune.tasks import ASR, TASKS, add_argument
from espnet_prune.utils import UserError, check_gpus, check_keys, read_mapping


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add our options to ESPnet's."""
    from espnet2.utils.types import str2bool

    parser.add_argument(
        "--cached_decoding",
        type=str2bool,
        default=True,
        help="keep keys and values of attention decoders: the same texts in less time",
    )
    group = parser.add_argument_group("Depth on demand")
    group.add_argument("--depth", type=int, help="blocks that run, by the depth table")
    group.add_argument("--keep_blocks", help="blocks that run, e.g. 1-6,8")
    group.add_argument(
        "--depth_table", help="default: depth_table.json beside the model"
    )


def chosen(stock: Any, options: Dict[str, Any]) -> Any:
    """Return a class that decodes, given some arguments of its own.

    Args:
        stock: The class, see `caching` and `on_demand`.
        options: Its arguments.

    Raises:
        UserError: Blocks that are no numbers.
    """
    from espnet_prune.units.blocks import parse_blocks

    if options.get("keep_blocks") is not None:
        options["keep_blocks"] = parse_blocks(options["keep_blocks"])

    class Chosen(stock):
        """The class under the name that ESPnet's functions look up."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **options, **kwargs)

    return Chosen


def read_command(
    parser: argparse.ArgumentParser, cmd: Optional[List[str]]
) -> argparse.Namespace:
    """Parse the command; what is wrong with it, or with its --config, is told.

    Raises:
        UserError: Unknown key or option, a value of another type, or no such file.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--config")
    config = early.parse_known_args(cmd)[0].config
    known = [action.dest for action in parser._actions]
    if config is not None:
        given = read_mapping(config)
        if not given:
            raise UserError(
                f"--config {config}: is empty; give options, or leave it out"
            )
        check_keys(given, known, f"--config {config}")

    def error(message: str) -> NoReturn:
        raise UserError(f"--config {config}: {message}" if config else message)

    parser.error = error  # type: ignore[method-assign]
    return parser.parse_args(cmd)


def decode(cmd: Optional[List[str]] = None) -> None:
    """Check the model that a command line names, then decode.

    Raises:
        UserError: Bad options, a model that does not fit its config, or bad data.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_argument(early)
    given, cmd = early.parse_known_args(cmd)
    task = TASKS[given.task or ASR.name]
    with contextlib.redirect_stdout(sys.stderr):
        module = task.decoding_module()

        from espnet_prune.deploy.caching import caching
        from espnet_prune.deploy.on_demand import on_demand
        from espnet_prune.strict import strict_loading

    parser = module.get_parser()
    for action in parser._actions:  # 202611 has "3.19% CER" in a help text
        action.help = re.sub(r"%(?![%(s])", "%%", action.help or "")
    add_arguments(parser)
    add_argument(parser)  # for --help
    args = read_command(parser, cmd)
    check_gpus(args.ngpu)
    entries = args.data_path_and_name_and_type or []
    check_entries(entries, "--data_path_and_name_and_type", folders=False)
    tell_unreadable_lines([path for path, *_ in entries])
    names = ("depth", "keep_blocks", "depth_table")
    options = {name: getattr(args, name) for name in names}
    cached = {"cached_decoding": args.cached_decoding}
    decoder = chosen(caching(task), cached)
    if any(value is not None for value in options.values()):
        if not getattr(args, f"{task.prefix}_model_file"):
            raise UserError(
                f"--depth and --keep_blocks need --{task.prefix}_model_file"
            )
        decoder = chosen(on_demand(task), {**options, **cached})
    left = ("config", "task", *cached, *names)
    kwargs = {k: v for k, v in vars(args).items() if k not in left}
    what = f"--config {args.config}: ESPnet cannot begin to decode"
    begun = Path(args.output_dir, "1best_recog").exists
    with told(what, "look at what it says", None, lambda: not begun()):
        with strict_loading(), replaced(module, task.decoder, decoder):
            module.inference(**kwargs)
    note(kwargs, Path(args.output_dir))

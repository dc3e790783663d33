# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The YAML of a selection: common keys, and those that its method has registered."""

import argparse
from typing import Any, Dict, List

from espnet_prune.model_args import add_model
from espnet_prune.runtime.reader import check_types
from espnet_prune.select.methods import get_method, methods
from espnet_prune.tasks import add_argument
from espnet_prune.utils import PathLike, check_keys, read_mapping

COMMON = ("method", "budget", "seed")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a selection, those of its methods included."""
    parser.add_argument("--config", help="YAML, see above")
    add_model(parser, required=False)
    add_argument(parser)
    parser.add_argument("--output_dir")
    parser.add_argument("--ngpu", type=int, default=0, help="GPUs; layers uses one")
    parser.add_argument("--seed", type=int, help="overrides the YAML")
    parser.add_argument(
        "--sparsity",
        type=float,
        help="overrides that of the YAML's budget, if it has only one",
    )
    parser.add_argument(
        "--latency",
        help="table of a budget in milliseconds, as espnet-prune latency makes it, "
        "also of another device (default: one is made in the output directory)",
    )
    parser.set_defaults(alone=None)
    for method in methods():
        method.options(parser)


def read_conf(args: argparse.Namespace) -> Dict[str, Any]:
    """Read and check the YAML, and what the command line overrides.

    Raises:
        UserError: Unknown method or key, a value of another type, or --sparsity for a
            budget of several targets.
    """
    where = args.config or "command line"
    conf = read_mapping(args.config) if args.config else {"method": args.alone}
    conf["method"] = conf.get("method") or "l0"
    method = get_method(conf["method"], f"{where}: method")
    check_keys(conf, (*COMMON, *method.keys), where)
    check_types(conf, {"seed": int, **method.keys}, where)
    if conf.get("budget") is None:
        conf["budget"] = {}
    if args.sparsity is not None:
        from espnet_prune.select.budget import OF, Budget

        Budget.from_conf(conf["budget"]).whole("--sparsity", OF)
        own = {key: value for key, value in conf["budget"].items() if key != "limit"}
        conf["budget"] = {**own, "sparsity": args.sparsity}
    if args.seed is not None:
        conf["seed"] = args.seed
    conf.setdefault("seed", 0)
    method.read(conf, args)
    return conf


def needs_of_selection(path: PathLike) -> List[str]:
    """Return what a selection needs of the recipe: similarity, data; or nothing.

    Raises:
        UserError: The file is no YAML, or names no method that there is.
    """
    name = read_mapping(path).get("method") or "l0"
    method = get_method(name, f"{path}: method")
    found = {"similarity": method.similarity, "data": method.training is not None}
    return [need for need, there in found.items() if there]


def needs_of_recovery(path: PathLike) -> List[str]:
    """Return what a training after the cut needs: data, and maybe a teacher.

    Raises:
        UserError: The file is no YAML.
    """
    return ["data", *(["teacher"] if "distill_conf" in read_mapping(path) else [])]

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Layers: whole blocks go, by similarity and by error rate; no weight changes."""

import argparse
from typing import Any, Dict, Optional

from espnet_prune.select.methods import register_method

OPTIONS = ("matrix", "top_k", "search")


def _options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this method to those of a selection."""
    group = parser.add_argument_group("method: layers")
    group.add_argument("--num_remove", type=int, help="overrides the YAML")
    group.add_argument("--search", help="overrides the YAML")
    group.add_argument("--matrix", help="similarity of layers, .npy or .npz")
    group.add_argument("--top_k", type=int, help="candidates of the coarse search")
    group.add_argument(
        "--coarse_only",
        dest="alone",
        action="store_const",
        const="layers",
        help="print candidates of --matrix",
    )
    group.add_argument("--json", action="store_true", help="print them as JSON")
    group.add_argument(
        "--eval_data_path_and_name_and_type",
        action="append",
        help="what judges, as in ESPnet; default: the model's validation data",
    )
    group.add_argument(
        "--cmd", help="launcher of parallel jobs, as espnet_prune.bin.run"
    )
    group.add_argument("--nj", type=int, default=1, help="parallel jobs")


def _read(conf: Dict[str, Any], args: argparse.Namespace) -> None:
    """Let options of the command line override the YAML."""
    own = dict(conf.get("layers_conf") or {})
    given = {name: getattr(args, name) for name in OPTIONS}
    own.update({name: v for name, v in given.items() if v is not None})
    conf["layers_conf"] = own
    if args.sparsity is not None:
        conf.pop("num_remove", None)
    if args.num_remove is not None:
        given = conf["budget"] if isinstance(conf["budget"], dict) else {}
        of = {key: value for key, value in given.items() if key == "of"}
        conf["num_remove"], conf["budget"] = args.num_remove, of


def _check(plan: Any) -> None:
    """Refuse more blocks than can go.

    Raises:
        UserError: See `asked`.
    """
    from espnet_prune.select.layers.asked import asked

    asked(plan)


def _outlook(plan: Any) -> Dict[str, Any]:
    """Say how many blocks could go."""
    from espnet_prune.select.layers.asked import asked

    found, why = asked(plan), "one block has to stay"
    if found.most < found.number - 1:
        why += " beside every tap of self-conditioning"
    return {
        "asked": {"blocks": found.num_remove},
        "at_most": {"blocks": found.most},
        "held_up_by": why,
    }


def _run(plan: Any) -> Any:
    """Search, and write what the search leaves; Plan -> Selection."""
    from espnet_prune.select.layers.run import run

    return run(plan)


def _alone(args: argparse.Namespace, conf: Any) -> None:
    """Print candidates of a stored matrix; no model is needed.

    Raises:
        UserError: No matrix or number, or a configuration of another method.
    """
    from espnet_prune.select.layers.run import print_candidates

    print_candidates(args, conf)


register_method(
    "layers",
    keys={"num_remove": Optional[int], "layers_conf": Optional[dict]},
    run=_run,
    check=_check,
    read=_read,
    options=_options,
    outlook=_outlook,
    alone=_alone,
    help="whole blocks by similarity and by error rate",
    similarity=True,
)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The YAML of a selection: which keys a method has, and of which types."""

import argparse
from typing import Any, Dict, List, Mapping, Optional

from espnet_prune.reader import check_types
from espnet_prune.utils import check_keys, read_mapping

METHODS = {
    "l0": ("units", "round_to", "l0_conf", "distill_conf", "train_conf"),
    "layers": ("num_remove", "layers_conf"),
    "magnitude": ("units", "round_to"),
}
COMMON = ("method", "budget", "seed")
TYPES = {
    "distill_conf": Optional[dict],
    "l0_conf": Optional[dict],
    "layers_conf": Optional[dict],
    "num_remove": Optional[int],
    "round_to": int,
    "seed": int,
    "train_conf": Optional[dict],
    "units": Optional[List[str]],
}
LAYER_OPTIONS = ("matrix", "top_k", "search")


def read_conf(args: argparse.Namespace) -> Dict[str, Any]:
    """Read and check the YAML, and what the command line overrides.

    Raises:
        UserError: Unknown method or key, a value of another type, or --sparsity for a
            budget of several targets.
    """
    where = args.config or "command line"
    conf = read_mapping(args.config) if args.config else {"method": "layers"}
    method = conf.setdefault("method", "l0")
    check_keys([method], METHODS, f"{where}: method")
    check_keys(conf, COMMON + METHODS[method], where)
    check_types(conf, TYPES, where)
    if conf.get("budget") is None:
        conf["budget"] = {}
    if args.sparsity is not None:
        from espnet_prune.select.budget import Budget

        Budget.from_conf(conf["budget"]).whole("--sparsity")
        conf["budget"] = {**conf["budget"], "sparsity": args.sparsity}
        conf.pop("num_remove", None)
    if args.seed is not None:
        conf["seed"] = args.seed
    conf.setdefault("seed", 0)
    if method == "layers":
        own = dict(conf.get("layers_conf") or {})
        given = {name: getattr(args, name) for name in LAYER_OPTIONS}
        own.update({name: v for name, v in given.items() if v is not None})
        conf["layers_conf"] = own
        if args.num_remove is not None:
            conf["num_remove"], conf["budget"] = args.num_remove, {}
    return conf


def gate_conf(conf: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the arguments of `attach_gates` that the YAML means.

    Raises:
        UserError: `l0_conf` is not a mapping of known keys.
    """
    from espnet_prune.select.l0.conf import check_l0_conf

    own = dict(check_l0_conf(conf.get("l0_conf")))
    own["budget"] = conf["budget"]
    own["seed"] = conf["seed"]
    for key in ("units", "round_to"):
        if key in conf:
            own[key] = conf[key]
    return own

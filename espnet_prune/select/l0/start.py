# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Gates that start where method obs ends: `l0_conf: {start: obs}`.

What obs would remove within the budget starts shut, what it would keep open, each the
more surely the farther it is from the limit in the order of obs. The weights are those
that obs has solved for what stays: with those of the dense model, the first steps would
go into what the solution gives at once. Columns of shut units are zero, so that one
that opens does no harm, and has to learn what it is good for. There is no ramp, because
the gates are at the budget in the first step.
"""

import logging
from pathlib import Path
from typing import Dict, Optional

import torch

from espnet_prune.select.plan import Plan
from espnet_prune.select.selection import STRUCTURE
from espnet_prune.units import Masks, UnitGraph
from espnet_prune.utils import UserError, atomic_torch_save, read_json, sha256

PLACES = "places.pth"


def places(
    graph: UnitGraph, masks: Masks, order: Masks, names: "list[str]"
) -> Dict[str, torch.Tensor]:
    """Return how far every unit is from the limit of a budget.

    Args:
        graph: The units.
        masks: 0 for what goes within the budget, and 1.
        order: When every unit goes, larger for later ones, by vector. A module without
            an order goes with the last of its units.
        names: The vectors that are wanted.

    Returns:
        (size,) per vector, from -1 for the first to go to just below 0 for the last
        within the budget, and from just above 0 to 1 for those that stay.
    """
    order = dict(order)
    for name in names:
        if name not in order:
            inner = [order[u.name] for u in graph if u.module == name]
            order[name] = max(values.max() for values in inner)[None]
    stays = torch.cat([masks[name] for name in names]) != 0
    ranked = torch.cat([order[name].double() for name in names])
    found = torch.empty(len(ranked))
    for chosen, base in ((stays, 1), (~stays, 0)):
        count = int(chosen.sum())
        ranks = ranked[chosen].argsort(stable=True).argsort(stable=True)
        found[chosen] = (ranks + base) / max(count, 1) - (1 - base)
    sizes = [graph[name].size for name in names]
    return dict(zip(names, found.split(sizes)))


def start_of(plan: Plan) -> Optional[Path]:
    """Return the directory of what a training starts from; made unless it is there.

    Raises:
        UserError: It is there, for another model or budget.
    """
    if plan.own("l0_conf").get("start") is None:
        return None
    from espnet_prune.select.obs.run import entries_for, judging_entries, make_path

    folder = Path(plan.options.output_dir) / "start"
    origin = {
        "method": "obs",
        "budget": plan.budget.conf(),
        "dense_sha256": sha256(plan.options.model_file),
    }
    if (folder / PLACES).exists():
        record = read_json(folder / STRUCTURE)["provenance"]
        if any(record.get(key) != value for key, value in origin.items()):
            raise UserError(
                f"{folder} is the start for another model or budget; remove it or "
                "choose another --output_dir"
            )
        return folder
    logging.info("Gates start from method obs")
    path, _ = make_path(plan, entries_for(plan), judging_entries(plan))
    selection = path.at(plan.budget)
    plan.model.cpu()
    selection.record = origin
    selection.save(folder)
    units = plan.pricing.units(plan.kinds)
    names = [unit.name for unit in units]
    found = places(plan.graph, selection.masks, path.order(), names)
    atomic_torch_save(found, folder / PLACES)
    return folder

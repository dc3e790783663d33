# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Method obs from a plan to a selection."""

import logging
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from espnet_prune.data.calibration import find_audio
from espnet_prune.data.speech import Entries, entries_of, speech_entries
from espnet_prune.select.correction import with_room
from espnet_prune.select.obs.conf import ObsConf
from espnet_prune.select.obs.path import RemovalPath, rounds_to
from espnet_prune.select.obs.speech import MOST_HELD, Heard, Judge, Speech
from espnet_prune.select.plan import Plan
from espnet_prune.select.selection import Selection
from espnet_prune.tasks import task_of
from espnet_prune.utils import UserError


def entries_for(plan: Plan) -> Entries:
    """Return (path, name, type) of what a plan calibrates on.

    That is --calibration, or else the model's training data.

    Raises:
        UserError: It is not there, or has no transcripts and they are asked for.
    """
    given = getattr(plan.options, "calibration", None)
    labels = ObsConf.from_dict(plan.own("obs_conf")).labels
    if given:
        folder = Path(plan.options.output_dir) / "calibration"
        entries = find_audio(given, plan.config, folder, option="--calibration")
        entries = entries.write(folder)
    else:
        speech_entries(None, plan.config, str(plan.options.model_config))
        entries = entries_of(plan.config, "train")
    if labels and "text" not in _names(entries):
        where = given or plan.options.model_config
        raise UserError(
            f"obs_conf: labels: true needs transcripts, and {where} has none; leave "
            "labels out"
        )
    return entries


def judging_entries(plan: Plan) -> Optional[Entries]:
    """Return the development data of a model, if all of it is here."""
    entries = entries_of(plan.config, "valid")
    there = all(Path(path).exists() for path, _, _ in entries)
    return entries if there and "speech" in _names(entries) else None


def make_path(
    plan: Plan, entries: Entries, judging: Optional[Entries] = None
) -> Tuple[RemovalPath, List[Dict[str, Any]]]:
    """Calibrate, and go down to the budget of a plan.

    Args:
        plan: The plan.
        entries: What is calibrated on.
        judging: What judges; by default utterances of `entries`, kept aside. Its text
            counts, if there is any and the model spells it.

    Returns:
        The path, and what its rounds tell, see `RemovalPath.go`.

    Raises:
        UserError: See `Heard` and `gather`.
    """
    conf, config = ObsConf.from_dict(plan.own("obs_conf")), plan.config
    plan.model.to("cuda" if plan.options.ngpu else "cpu").eval()
    speech, held = _open(entries, config, conf.labels).split(
        conf.num_utts, plan.seed, held=judging is None
    )
    source = entries if judging is None else judging
    spelled = task_of(config).spells and "text" in _names(source)
    judged = _open(source, config, spelled)
    judged = judged.of(held.keys) if judging is None else judged.some(MOST_HELD)
    heard, held = (Heard(part, plan.model) for part in (speech, judged))
    logging.info(f"{len(heard)} utterances calibrate, {len(held)} judge")
    path = RemovalPath(plan, conf.damping)
    budgets = list(rounds_to(with_room(plan), conf.rounds))
    told = path.go(heard, Judge(held), budgets, conf.powers)
    return path, told


def _open(entries: Entries, config: Mapping[str, Any], labels: bool) -> Speech:
    used = [entry for entry in entries if labels or entry[1] == "speech"]
    return Speech(used, config, labels)


def _names(entries: Entries) -> List[str]:
    return [name for _, name, _ in entries]


def run(plan: Plan) -> Selection:
    """Calibrate, and go down to the budget."""
    path, told = make_path(plan, entries_for(plan), judging_entries(plan))
    selection = path.at(plan.budget)
    selection.record = {"rounds": told}
    return selection

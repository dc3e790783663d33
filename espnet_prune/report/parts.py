# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Where size, computation and time of whole models are, before and after."""

import logging
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from espnet_prune.data.speech import Entries
from espnet_prune.measure.duration import SECONDS
from espnet_prune.measure.recognition import BEAM, CTC, measure_recognition
from espnet_prune.report.tables import markdown, share
from espnet_prune.structure import FRONT_SSL
from espnet_prune.utils import UserError

# parts and whole recognitions, as a table calls them
ROWS = {
    FRONT_SSL: "front end (self-supervised)",
    "front": "front end (of the encoder)",
    "encoder": "encoder",
    "decoder": "decoder",
    "joint": "joint network",
    "others": "others",
    "model": "all",
    CTC: "recognition, CTC greedy",
    BEAM: "recognition, beam search",
}


def recognition(
    models: Mapping[str, Tuple[Any, Any]],
    options: Mapping[str, Any],
    runs: int = 3,
    entries: Optional[Entries] = None,
) -> Optional[Dict[str, Any]]:
    """Return what `measure_recognition` does; None, with a warning, if nothing can."""
    try:
        return measure_recognition(models, options, runs, entries=entries)
    except (UserError, OSError, ImportError) as error:
        logging.warning(f"The time of whole recognitions is not measured: {error}")
        return None


def parts_table(
    costs: Mapping[str, Mapping[str, Mapping[str, int]]],
    measured: Optional[Mapping[str, Any]],
    seconds: float = SECONDS,
) -> str:
    """Return the table: a row for every part, three columns for every model.

    Args:
        costs: {model: {part: {params, macs}}}, the dense model first.
        measured: See `recognition`.
        seconds: Length of the utterance whose MACs are told.

    Returns:
        Markdown.
    """
    times = measured["times"] if measured else {}
    head = ["part"]
    for name in costs:
        head += [f"{name}: params", f"GMACs {seconds:.4g} s"] + ["ms"] * bool(times)
    lines: List[List[str]] = [head]
    first = next(iter(costs))
    for part, label in ROWS.items():
        line = [label]
        for name, parts in costs.items():
            for key, scale in (("params", 1e6), ("macs", 1e9)):
                value = parts.get(part, {}).get(key, 0)
                dense = costs[first].get(part, {}).get(key, 0)
                unit = " M" if key == "params" else ""
                shown = f"{value / scale:.3g}{unit}{share(value, dense)}"
                line.append(shown if dense else "-")
            if times:
                ms, dense_ms = (times[n].get(part) for n in (name, first))
                shown = f"{ms:.1f}{share(ms, dense_ms)}" if ms and dense_ms else "-"
                line.append(shown)
        if set(line[1:]) != {"-"}:
            lines.append(line)
    return markdown(lines)


def explained(
    tokens: Sequence[Any], beam: int, measured: Optional[Mapping[str, Any]]
) -> str:
    """Say in a line what `parts_table` counts.

    Args:
        tokens: A `measure.tokens.Rate`.
        beam: Hypotheses at every token for which MACs are counted.
        measured: See `recognition`.
    """
    rate, source = tokens
    text = f"MACs of a decoder: {rate:.3g} tokens a second ({source}), beam {beam}."
    if not measured:
        return text
    options = ", ".join(f"{k} {v}" for k, v in measured["options"].items() if v)
    how = options or "as ESPnet has it by default"
    return (
        f"{text} Milliseconds: {measured['speech']}, one thread, the fastest of "
        f"{measured['runs']} runs in turns; beam search: {how}, without language "
        "model; parts are timed in it, others are features, CTC and the search itself."
    )

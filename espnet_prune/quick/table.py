# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Before and after in one table, and utterances whose text changed."""

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from espnet_prune.measure.recognition import BEAM, CTC
from espnet_prune.report.tables import markdown, share
from espnet_prune.structure import FRONT_SSL


def before_and_after(result: Mapping[str, Any]) -> str:
    """Return the table of a result, a row for every quantity.

    Args:
        result: models: {name: what `report.results.measure` says of it}, the dense one
            first; recognition: see `report.parts.recognition`, or None; score: see
            `Hearing.score`.

    Returns:
        Markdown.
    """
    models, score = result["models"], result["score"]
    names = list(models)
    lines: List[List[str]] = [["", *names]]

    def row(label: str, values: Sequence[Optional[float]], form: Callable) -> None:
        if all(v is not None for v in values):
            cells = [form(v) + share(v, values[0]) for v in values]
            lines.append([label, *cells])

    def column(*keys: str) -> List[Any]:
        found: List[Any] = []
        for name in names:
            value: Any = models[name]
            for key in keys:
                value = value[key]
            found.append(value)
        return found

    fronts = [models[name].get("parts", {}).get(FRONT_SSL) for name in names]
    if all(fronts):
        values = [[part[key] for part in fronts] for key in ("params", "macs")]
        row("parameters, front end", values[0], lambda v: f"{v / 1e6:.3g} M")
        row("GMACs of 10 s, front end", values[1], lambda v: f"{v / 1e9:.3g}")
    row("parameters, encoder", column("encoder_params"), lambda v: f"{v / 1e6:.3g} M")
    row("parameters, all", column("total_params"), lambda v: f"{v / 1e6:.3g} M")
    row("GMACs of 10 s, encoder", column("gmacs"), lambda v: f"{v:.3g}")
    row("ms for 10 s, encoder", column("latency", "min_ms"), lambda v: f"{v:.1f}")
    heard = result.get("recognition")
    if heard:
        what = {BEAM: f"beam {heard['options'].get('beam_size', '')}".strip()}
        what[CTC] = "CTC greedy"
        for kind, label in what.items():
            times = [heard["times"][name].get(kind) for name in names]
            about = f"ms for {heard['speech'].split(' (')[0]}, {label}"
            row(about, times, lambda v: f"{v:.1f}")
    lines += errors(score, names)
    return markdown(lines)


def errors(score: Mapping[str, Any], names: Sequence[str]) -> List[List[str]]:
    """Return rows of error rates, in percent with 95 % intervals."""
    measure, lines = score["measure"].upper(), []
    if "errors" in score:
        cells = [_rate(score["errors"][name]) for name in names]
        lines.append([f"{measure}, %", *cells])
        if len(names) > 1:
            more = [_difference(score["errors"][name]) for name in names[1:]]
            lines.append([f"{measure} against {names[0]}", "", *more])
    cells = [_rate(score["agreement"][name]) for name in names[1:]]
    unit = {"WER": "words", "CER": "characters"}[measure]
    lines.append([f"{unit} unlike {names[0]}'s, %", "", *cells])
    return lines


def _rate(row: Mapping[str, Any]) -> str:
    low, high = row["interval"]
    return f"{row['rate']:.1f} [{low:.1f}, {high:.1f}]"


def _difference(row: Mapping[str, Any]) -> str:
    low, high = row["against"]["interval"]
    return f"{row['against']['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"


def changes(rows: Sequence[Dict[str, str]], number: int, whole: int) -> str:
    """Return utterances before and after as lines.

    Args:
        rows: See `Hearing.changed`.
        number: How many changed.
        whole: How many were heard.
    """
    if not rows:
        return f"No text of {whole} utterances changed."
    lines = [f"{number} of {whole} utterances changed; {len(rows)} of them:"]
    for row in rows:
        lines.append(row["utterance"])
        for key in ("transcript", "before", "after"):
            if key in row:
                lines.append(f"  {key:<10}  {row[key]}")
    return "\n".join(lines)


def of_sizes(result: Mapping[str, Any]) -> str:
    """Return the table of sizes, a row for each.

    Args:
        result: See `sizes.write_sizes`.

    Returns:
        Markdown.
    """
    score, first = result["score"], result["rows"][0]
    measure = score["measure"].upper()
    head = ["remains", "parameters", "GMACs 10 s", "ms 10 s"]
    head += [f"{measure}, %", "against dense"] if "errors" in score else []
    lines = [[*head, f"unlike {first['name']}'s, %"]]
    for row in result["rows"]:
        name = row["name"]
        line = [name]
        for key, form in (
            ("encoder_params", lambda v: f"{v / 1e6:.3g} M"),
            ("gmacs", lambda v: f"{v:.3g}"),
            ("ms", lambda v: f"{v:.1f}"),
        ):
            line.append(form(row[key]) + share(row[key], first[key]))
        if "errors" in score:
            own = score["errors"][name]
            line += [_rate(own), _difference(own) if "against" in own else ""]
        agreement = score["agreement"].get(name)
        lines.append([*line, _rate(agreement) if agreement else ""])
    about = [f"{name}: {words}" for name, words in result["about"].items()]
    return "\n".join([markdown(lines), "", *about])

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The page that says what can be pruned of ESPnet's recipes, from what was found."""

from typing import Any, Dict, Iterable, List, Mapping

from espnet_prune.report.tables import markdown

PARTLY, HALF = "partly", 0.5  # of a model's parameters
TITLES = {
    PARTLY: "Partly",
    "refused": "Refused",
    "not built": "Not built",
    "fault": "Wrong",
}
# front ends that have more weights than many an encoder
FRONT_ENDS = ("s3prl", "huggingface", "espnet_ssl", "fused")
HEAD = """# The recipes of ESPnet

What can be pruned of the models that ESPnet's own recipes train: every training of
`egs2` (`asr*`, `slu*`, `st*`, `s2t*`) in ESPnet {release}. {files} configurations, of
which {count} differ in more than training and dropout, were built as ESPnet's task
builds them. What came out of each is in [one file](../test/results/recipes.json). It
and this page are made by

```
{command}
```

* **pruned**: units and prices were compared with the parameters of the model at its
  real size, with {vocabulary} tokens. A small one with the same options, few blocks and
  narrow, was priced (parameters and MACs against those counted), cut at random and
  compared with the masked one, and selected from by magnitude and by `obs`.
* **partly**: the same, where units cover less than half of the model's parameters.
* **refused**: by one sentence before any work.
* **not built**: a package or file is not here that ESPnet needs for it, or ESPnet
  does not take the configuration.
"""


def page(record: Mapping[str, Any]) -> str:
    """Return the page, Markdown.

    Args:
        record: What the command has written, see `bench_recipes.py`.
    """
    found = record["configurations"]
    head = HEAD.format(
        release=record["archive"],
        files=sum(entry["files"] for entry in found),
        count=len(found),
        command=record["command"],
        vocabulary=record["vocabulary"],
    )
    parts = [head, "## Tasks and encoders\n", counts(found)]
    for verdict, title in TITLES.items():
        some = [entry for entry in found if kind_of(entry) == verdict]
        if some:
            said = shares(some) if verdict == PARTLY else reasons(some)
            parts += [f"\n## {title}\n", said]
    mute = [{**e, "why": e["without obs"]} for e in found if "without obs" in e]
    if mute:
        parts += ["\n## Without obs\n", "Pruned otherwise.\n", reasons(mute)]
    return "\n".join(parts) + "\n"


def kind_of(entry: Mapping[str, Any]) -> str:
    """Return the verdict, or "partly"."""
    few = entry["verdict"] == "pruned" and entry["covered"] < HALF * entry["params"]
    return PARTLY if few else entry["verdict"]


def encoder_of(entry: Mapping[str, Any]) -> str:
    """Return what a configuration calls its encoder, and a front end of weights."""
    config = entry["config"]
    name = config.get("encoder") or ", ".join(config.get("encoder_conf") or ["none"])
    front = config.get("frontend")
    return f"{front} + {name}" if front in FRONT_ENDS else str(name)


def counts(found: Iterable[Mapping[str, Any]]) -> str:
    """Return a row per task and encoder: how many, and the share that units cover."""
    rows: Dict[Any, List[Mapping[str, Any]]] = {}
    for entry in found:
        rows.setdefault((entry["task"], encoder_of(entry)), []).append(entry)
    kinds = (
        "pruned",
        *(kind for kind in TITLES if any(kind_of(e) == kind for e in found)),
    )
    lines = [["task", "encoder", *kinds, "units cover"]]
    for (task, encoder), entries in sorted(rows.items()):
        some = [e["covered"] / e["params"] for e in entries if "covered" in e]
        least, most = (f"{f(some):.0%}" if some else "" for f in (min, max))
        of = least if least == most else f"{least} to {most}"
        numbers = [sum(kind_of(e) == kind for e in entries) for kind in kinds]
        lines.append([task, f"`{encoder}`", *(str(n or "") for n in numbers), of])
    total = [str(sum(kind_of(e) == kind for e in found)) for kind in kinds]
    return markdown([*lines, ["all", "", *total, ""]])


def reasons(found: Iterable[Mapping[str, Any]]) -> str:
    """Return a line per sentence: how many models, of which encoders."""
    rows: Dict[str, List[Mapping[str, Any]]] = {}
    for entry in found:
        rows.setdefault(entry["why"], []).append(entry)
    lines = []
    for why, entries in sorted(rows.items(), key=lambda row: (-len(row[1]), row[0])):
        names = ", ".join(f"`{n}`" for n in sorted(set(map(encoder_of, entries))))
        lines.append(f"* {len(entries)} ({names}): {why}")
    return "\n".join(lines)


def shares(found: Iterable[Mapping[str, Any]]) -> str:
    """Return a line per model: what units cover of how much."""
    return "\n".join(
        f"* {e['covered'] / e['params']:.0%} of {e['params'] / 1e6:.0f} M parameters: "
        f"`{e['example']}`"
        for e in found
    )

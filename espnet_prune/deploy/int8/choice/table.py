# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What was decided about int8, as people read it."""

from typing import Any, Dict, List, Mapping

from espnet_prune.deploy.int8.choice.decide import loss_of


def as_text(found: Mapping[str, Any]) -> str:
    """Return the table of the parts and a line for each file, as Markdown.

    Args:
        found: What `quantise_package` returns.
    """
    here = found["cpu"]
    bits = "7 bits, which cannot saturate" if here["reduce_range"] else "8 bits"
    lines = [
        f"int8 on {here['name']} ({' '.join(here['flags']) or here['machine']}): "
        f"weights of {bits}",
        "",
        "| file | part | weights | fp32 ms | int8 ms | is | why |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    lines += [_row(row) for row in found["parts"]]
    lines.append("")
    return "\n".join(lines + [_line(part, f) for part, f in found["files"].items()])


def _row(row: Mapping[str, Any]) -> str:
    kind, why = "int8" if row["int8"] else "fp32", row["why"]
    if row["int8"]:
        why = f"{row['fp32_ms'] / row['int8_ms']:.2f} x as fast"
    cells: List[str] = [row["file"], row["part"], f"{row['weights']:,}"]
    cells += [f"{row['fp32_ms']:.2f}", f"{row['int8_ms']:.2f}", kind, why]
    return "| " + " | ".join(cells) + " |"


def _line(part: str, found: Dict[str, Any]) -> str:
    """Return what became of a file, in words."""
    score, ms, size = found["score"], found["ms"], found["bytes"]
    if score is None:
        return f"{part}: stays fp32"
    against = "" if score["against"] == "transcripts" else " against its own in fp32"
    line = (
        f"{part}: {score['measure'].upper()}{against} {score['int8']:.2f} %, "
        f"fp32 {score['fp32']:.2f} %, difference {loss_of(score)} "
        f"({score['drawn']}); {ms['fp32'] / ms['int8']:.2f} x as fast; "
        f"{size['int8'] / size['fp32']:.0%} of the size"
    )
    if score["alike"] is not None:
        line += f"; {score['alike']:.2%} of the frames alike"
    return line

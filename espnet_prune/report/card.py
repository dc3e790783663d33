# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The model card: what a shared model is, what it costs, and how to use it."""

import json
from typing import Any, List, Mapping, Optional

from espnet_prune.report.decoding import releases
from espnet_prune.report.results import compression_table
from espnet_prune.report.tables import tables

HEAD = """---
tags:
- espnet
- audio
- automatic-speech-recognition
- pruning
library_name: espnet
---
"""

USE = """```python
{imports}

speech2text = Speech2Text{call}
text, *_ = speech2text(speech)[0]  # speech: float array (samples,), {rate} Hz
```
"""


def model_card(
    name: str,
    config: Mapping[str, Any],
    report: Optional[Mapping[str, Any]],
    repo: Optional[str] = None,
) -> str:
    """Write the card of a packed model.

    Args:
        name: Title.
        config: config.yaml of the model.
        report: Content of report.json, or None where no report was made.
        repo: Name on the hub, "user/model"; None for a file.

    Returns:
        Markdown with the YAML head that model hubs read.
    """
    own = str(config["encoder"]).startswith("pruned_")
    lines = [HEAD, f"# {name}", ""]
    lines += [
        "An ESPnet speech recogniser whose encoder was pruned with espnet_prune.",
        (
            "Its encoder class comes with espnet_prune, which has to be installed."
            if own
            else "It is a stock ESPnet model and needs nothing but ESPnet."
        ),
        "",
    ]
    if report is not None:
        # reports had a hop of 10 ms before they said their length
        # a report of before seconds were there has frames, of 10 ms
        seconds = report["seconds"] if "seconds" in report else report["frames"] / 100
        lines += [compression_table(report["models"], seconds), ""]
        lines += [report.get("made_by", ""), ""]
        lines += _facts(report)
    here = ", ".join(f"{name} {v}" for name, v in releases().items())
    lines += ["## Use", "", f"Packed, and loaded again, by {here}.", ""]
    lines += [_use(config, own, repo)]
    if report is not None:
        last = report["models"][-1]
        if last["scores"]:
            lines += ["## Results", "", tables(name, last["scores"]), ""]
        lines += ["## Structure", "", "What remains, block by block:", ""]
        lines += ["```json", json.dumps(last["structure"], indent=1), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _use(config: Mapping[str, Any], own: bool, repo: Optional[str]) -> str:
    """Python that decodes with the model."""
    rate = (config.get("frontend_conf") or {}).get("fs", 16000)
    imports = ["import espnet_prune", "", "espnet_prune.register()"] if own else []
    imports.append("from espnet2.bin.asr_inference import Speech2Text")
    call = f'.from_pretrained("{repo}"'
    if repo is None:
        imports.append("from espnet2.main_funcs.pack_funcs import unpack")
        call = '(**unpack("model.zip", "model")'
    if (config.get("model_conf") or {}).get("ctc_weight") == 1.0:
        call += ", ctc_weight=1.0"
    return USE.format(
        imports="\n".join(imports),
        call=f"{call})",
        rate={"8k": 8000, "16k": 16000}.get(rate, rate),
    )


def _facts(report: Mapping[str, Any]) -> List[str]:
    """List where the model and the figures come from."""
    facts = {**report["provenance"], **report["environment"]}
    lines = [f"- {key}: `{value}`" for key, value in facts.items()]
    return [*lines, f"- sha256: `{report['models'][-1]['sha256']}`", ""]

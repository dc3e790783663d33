# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The model card: what a shared model is, what it costs, and how to use it."""

import json
from typing import Any, Mapping, Optional

from espnet_prune.report.decoding import releases
from espnet_prune.report.results import compression_table
from espnet_prune.report.runtimes import how_to_run
from espnet_prune.report.tables import tables
from espnet_prune.tasks import task_of

CARD = """---
tags:
- espnet
- audio
- automatic-speech-recognition
- pruning
library_name: espnet
---

# {{ name }}

An ESPnet speech recogniser whose encoder was pruned with espnet_prune.
{% if own %}
Its encoder class comes with espnet_prune, which has to be installed.
{% else %}
It is a stock ESPnet model and needs nothing but ESPnet.
{% endif %}

{% if report %}
{{ table }}

{{ report.made_by }}

{% for key, value in facts.items() %}
- {{ key }}: `{{ value }}`
{% endfor %}
- sha256: `{{ last.sha256 }}`

{% endif %}
## Use

Packed, and loaded again, by {{ here }}.

```python
{% if own %}
import espnet_prune

espnet_prune.register()
{% endif %}
from espnet2.bin.{{ task.decoding }} import {{ task.decoder }}
{% if not repo %}
from espnet2.main_funcs.pack_funcs import unpack
{% endif %}

speech2text = {{ task.decoder }}
{%- if repo %}.from_pretrained("{{ repo }}"{% else %}(**unpack("model.zip", "model")
{%- endif %}{% if ctc_only %}, ctc_weight=1.0{% endif %})
text, *_ = speech2text(speech)[0]  # speech: float array (samples,), {{ rate }} Hz
```
{% if deployed %}

`exp/{{ name }}/deploy/` runs without ESPnet and PyTorch, by its own README.md:

```sh
pip install -r exp/{{ name }}/deploy/requirements.txt
python exp/{{ name }}/deploy/transcribe.py recording.wav
```
{{ runtimes }}
{% endif %}
{% if report %}

{% if last.scores %}
## Results

{{ results }}

{% endif %}
## Structure

What remains, block by block:

```json
{{ structure }}
```
{% endif %}
"""


def model_card(
    name: str,
    config: Mapping[str, Any],
    report: Optional[Mapping[str, Any]],
    repo: Optional[str] = None,
    proof: Optional[Mapping[str, Any]] = None,
) -> str:
    """Write the card of a packed model.

    Args:
        name: Title.
        config: config.yaml of the model.
        report: Content of report.json, or None where no report was made.
        repo: Name on the hub, "user/model"; None for a file.
        proof: What deploy.json says, where the model was deployed.

    Returns:
        Markdown with the YAML head that model hubs read.
    """
    from jinja2 import Template

    rate = (config.get("frontend_conf") or {}).get("fs", 16000)
    known = {
        "name": name,
        "own": str(config.get("encoder")).startswith("pruned_"),
        "here": ", ".join(f"{package} {v}" for package, v in releases().items()),
        "repo": repo,
        "task": task_of(config),
        "deployed": bool(proof),
        "runtimes": how_to_run((proof or {}).get("targets", {}), f"exp/{name}/deploy/"),
        "ctc_only": (config.get("model_conf") or {}).get("ctc_weight") == 1.0,
        "rate": {"8k": 8000, "16k": 16000}.get(rate, rate),
    }
    if report is not None:
        last = report["models"][-1]
        # a report of before seconds were there has frames, of 10 ms
        seconds = report["seconds"] if "seconds" in report else report["frames"] / 100
        known.update(
            report=report,
            table=compression_table(report["models"], seconds),
            facts={**report["provenance"], **report["environment"]},
            last=last,
            results=tables(name, last["scores"]) if last["scores"] else "",
            structure=json.dumps(last["structure"], indent=1),
        )
    template = Template(CARD, trim_blocks=True, lstrip_blocks=True)
    return template.render(known).rstrip() + "\n"

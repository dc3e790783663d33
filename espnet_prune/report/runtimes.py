# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How a deployed model is run by runtimes of others, as it was proven."""

from typing import Any, Mapping


def how_to_run(targets: Mapping[str, Any], where: str = "") -> str:
    """Return Markdown about the files for other runtimes; nothing where there are none.

    Args:
        targets: What deploy.json says of them.
        where: Directory of the deployed model, which ends with a slash.
    """
    parts = ["\n## Other runtimes\n"] if targets else []
    for name, target in targets.items():
        texts = target["texts"]
        release = " ".join(filter(None, [name, target["version"]]))
        parts += [
            f"### {name}\n",
            f"{release} heard in {texts['alike']} of {texts['of']} utterances what "
            f"`transcribe.py` hears with `--decoding ctc_greedy --precision "
            f"{target['precision']}`.\n",
            target["usage"].replace("{folder}", f"{where}{name}") + "\n",
            "Its limits:\n",
            "\n".join(f"* {limit}" for limit in target["limits"]) + "\n",
        ]
    return "\n".join(parts)

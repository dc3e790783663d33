# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a recognition gives, and its line in a list."""

import dataclasses
import json
from typing import Any, Dict, List, TextIO, Union

from .errors import UserError


@dataclasses.dataclass(frozen=True)
class Result:
    """What was heard.

    Args:
        text: As ESPnet writes it.
        tokens: One by one.
        times: Second at which each token begins.
        score: Logarithm of the probability that the search has maximised; of several
            pieces their sum.
        seconds: Of audio.
        rtf: Real-time factor: seconds of work per second of audio.
    """

    text: str
    tokens: List[str]
    times: List[float]
    score: float
    seconds: float
    rtf: float


def write_result(
    stream: TextIO,
    as_json: bool,
    name: str,
    path: str,
    result: Union[Result, UserError],
    **more: Any,
) -> None:
    """Write the line of a recording.

    Args:
        stream: Where to.
        as_json: An object; otherwise name and text, and nothing for an error.
        name: Of the recording.
        path: Its file.
        result: What was heard, or why nothing was.
        **more: What an object has besides.
    """
    if as_json:
        row: Dict[str, Any] = {"name": name, "path": path, **more}
        if isinstance(result, UserError):
            row["error"] = str(result)
        else:
            row.update(dataclasses.asdict(result))
        print(json.dumps(row, ensure_ascii=False), file=stream, flush=True)
    elif not isinstance(result, UserError):
        print(f"{name} {result.text}".rstrip(), file=stream, flush=True)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The one door to all commands: `espnet-prune COMMAND`, or `python -m espnet_prune`."""

import ast
import importlib
import sys
from pathlib import Path
from typing import Dict, List, Optional

from espnet_prune.utils import UserError, nearest, run_main

# when a command is called for: the front door, then in the order of a recipe's stages
STAGES = {
    "all at once": "quick sizes",
    "before anything": "dry_run check_model",
    "1-5, data": "data_prep audio_state",
    "10-11, dense training": "asr_train init_model link_dense data_args",
    "12-13, 18-19, decoding and scoring": "decode_jobs asr_inference score",
    "14, measuring": "cost similarity latency",
    "15, selecting": "needs select evaluate_blocks",
    "16, cutting": "cut export verify",
    "17, training on": "espnet3",
    "20, deploying": "deploy prove transcribe",
    "21-22, reporting and packing": "report pack",
    "around the stages": "compare sweep run",
}


def commands() -> Dict[str, str]:
    """Return {name: first line of its docstring} of all commands."""
    found = {}
    for path in sorted((Path(__file__).parent / "bin").glob("[!_]*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        found[path.stem] = (docstring or "").split("\n")[0]
    return found


def usage() -> str:
    """Return the help: all commands by stage, a line each."""
    known = commands()
    width = max(map(len, known))
    lines = ["usage: espnet-prune COMMAND [OPTION ...]"]
    listed = {stage: names.split() for stage, names in STAGES.items()}
    unlisted = set(known).difference(*listed.values())
    for stage, names in {**listed, "others": sorted(unlisted)}.items():
        rows = [f"  {name:<{width}}  {known[name]}" for name in names if name in known]
        lines += ["", f"{stage}:", *rows] if rows else []
    return "\n".join([*lines, "", "espnet-prune COMMAND --help says more."])


def main(argv: Optional[List[str]] = None) -> None:
    """Run the command that the first word names."""
    name, *words = (sys.argv[1:] if argv is None else argv) or ["--help"]

    def call() -> None:
        if name not in known:
            raise UserError(
                f"there is no command {name}{nearest(name, known)}; "
                "espnet-prune --help lists them"
            )
        sys.argv = [f"espnet-prune {name}", *words]
        importlib.import_module(f"espnet_prune.bin.{name}").main()

    if name in ("-h", "--help"):
        print(usage())
        return
    name, known = name.replace("-", "_"), commands()
    run_main(call)


if __name__ == "__main__":
    main()

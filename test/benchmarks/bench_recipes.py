# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What of ESPnet's own recipes can be pruned: every configuration that it ships.

    python test/benchmarks/bench_recipes.py ESPNET

takes a checkout of ESPnet or its unpacked source archive, of the release that is
installed. Of every distinct model that egs2/*/{asr,slu,st,s2t}* trains, units and
prices are compared with the parameters at its real size; a small one with the same
options is priced, cut at random, and selected from by magnitude and by obs. Writes
test/results/recipes.json and docs/espnet_recipes.md. The exit code is 1, with a line
for each, where a model is accepted and something of it is wrong.
"""

import argparse
import json
import logging
import multiprocessing
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def prepare() -> None:
    """Prepare a process: one thread, no words of others, our classes."""
    import espnet_prune

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    espnet_prune.register()


def measure(root: Path, jobs: int) -> Dict[str, Any]:
    """Return what came out for every distinct configuration; prints as it goes."""
    from espnet_prune.report.decoding import releases
    from test.espnet_prune.recipes.cycle import result
    from test.espnet_prune.recipes.found import VOCABULARY, distinct

    found: List[Dict[str, Any]] = []
    entries = distinct(root)
    with multiprocessing.Pool(jobs, prepare) as pool:
        for entry, said in zip(entries, pool.imap(result, entries)):
            found.append({**entry, **said})
            print(json.dumps(said), entry["example"], flush=True)
    return {
        "command": "python test/benchmarks/bench_recipes.py ESPNET",
        **releases(),
        "archive": (root / "version.txt").read_text(encoding="utf-8").strip(),
        "vocabulary": VOCABULARY,
        "configurations": found,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("espnet", type=Path, help="checkout, or unpacked archive")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    args = parser.parse_args()
    from espnet_prune.utils import atomic_write, write_json
    from test.espnet_prune.recipes.cycle import FAULT
    from test.espnet_prune.recipes.page import page

    record = measure(args.espnet, args.jobs)
    write_json(record, ROOT / "test/results/recipes.json")
    with atomic_write(ROOT / "docs/espnet_recipes.md") as stream:
        stream.write(page(record))
    found = record["configurations"]
    bad = [f"{e['example']}: {e['why']}" for e in found if e["verdict"] == FAULT]
    if bad:
        sys.exit("\n".join(bad))
    print(len(found), "configurations,", dict(Counter(e["verdict"] for e in found)))


if __name__ == "__main__":
    main()

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A budget in milliseconds of onnxruntime: what is asked for is what is measured.

    python test/benchmarks/bench_ms_budget.py --latency TABLE [--sparsity 0.5]

TABLE is one of the encoder of `bench_latency_onnx.py` (12 blocks of 256): made by
`espnet-prune latency --measured`, it says the runtime and the length. Weights are
random, the smallest norms go. After the selection the cut encoder is written once more
and runs in turns with the dense one. Prints a line of JSON: limit, the selection's own
measurements, and the share that is measured in the end. The goal is the share that was
asked for, within 3 percent points.

`--break` makes the selection believe the table, without a correction, after a fifth of
the dense encoder's time has been given to what no unit can change: it must fail.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
POINTS = 0.03
ENCODER = dict(output_size=256, attention_heads=4, linear_units=1024, num_blocks=12)
OWN = dict(macaron_style=True, rel_pos_type="latest", cnn_module_kernel=31)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", required=True, help="a table")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--round_to", type=int, default=8)
    parser.add_argument("--break", dest="broken", action="store_true")
    parser.add_argument("--output", type=Path, help="JSON file")
    args = parser.parse_args()
    from espnet_prune.bin import select
    from espnet_prune.measure.latency_ratio import shares_of_time
    from espnet_prune.measure.latency_table import LatencyTable
    from espnet_prune.models import build_model
    from espnet_prune.structure import Structure
    from espnet_prune.utils import read_json, write_yaml
    from test.espnet_prune.deep import HYBRID, write_model

    table = LatencyTable.load(args.latency)
    frontend = {**HYBRID["frontend_conf"], "n_mels": 80}
    config = {**HYBRID, "frontend_conf": frontend}
    config["encoder_conf"] = {**ENCODER, **OWN}
    ms: Dict[str, Any] = dict(kind="ms", sparsity=args.sparsity, runtime=table.runtime)
    ms.update(seconds=table.seconds, threads=table.threads)
    conf = dict(method="magnitude", budget=ms, round_to=args.round_to)
    with tempfile.TemporaryDirectory() as folder:
        options = write_model(Path(folder) / "exp", config)
        write_yaml(conf, Path(folder) / "select.yaml")
        path, out = Path(folder) / "latency.json", Path(folder) / "out"
        if args.broken:
            table.device = "elsewhere"
            table.rows["blocks: once"] += table.dense_ms / 5
        table.save(path)
        options += ["--config", f"{folder}/select.yaml", "--output_dir", str(out)]
        select.main([*options, "--latency", str(path)])
        record = read_json(out / "structure.json")["provenance"]
        kept = Structure.load(out / "structure.json")
    encoder = build_model(config).encoder.eval()
    share = shares_of_time(
        encoder,
        kept,
        table.frames,
        table.threads,
        runtime=table.runtime,
    )["encoder"]
    passed = abs(share - (1 - args.sparsity)) <= POINTS
    found = {
        "runtime": table.runtime,
        "seconds": table.seconds,
        "asked": 1 - args.sparsity,
        "selection": [
            {k: row[k] for k in ("limit", "dense", "predicted", "measured")}
            for row in record["ms"]
        ],
        "measured_share": round(share, 4),
        "widths": kept["encoder"].widths(),
        "passed": passed,
    }
    if args.output:
        args.output.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))
    sys.exit(not passed)


if __name__ == "__main__":
    main()

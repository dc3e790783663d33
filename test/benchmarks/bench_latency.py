# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Predicted against measured milliseconds, on structures that the table has not seen.

    python test/benchmarks/bench_latency.py --model_config C [--seconds 10 30]
    python test/benchmarks/bench_latency.py            # Conformer, 12 blocks of 256

For each length a table is measured, then 20 random structures of other seeds and sizes,
each in turns with the dense encoder, CPU time on one thread. Their measured share of
the dense time, times the table's dense time, is compared with what the table predicts,
and with MACs times one constant: that of the dense encoder, and the one that errs least
on these very structures. Prints a table per length and ends in a line of JSON. The goal
is a mean absolute error of at most 8 %.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
GOAL = 0.08


def encoder_of(args: argparse.Namespace) -> Any:
    """Return an encoder and the input frames of a second, and its CTC."""
    if args.model_config:
        from espnet_prune.measure.duration import frames_of
        from espnet_prune.models import build_model, read_model_config

        config = dict(read_model_config(args.model_config), normalize=None)
        model = build_model(config, args.model_config)
        return model.encoder, frames_of(config) / 10, model.ctc
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    size = dict(output_size=256, attention_heads=4, linear_units=1024, num_blocks=12)
    own = dict(macaron_style=True, rel_pos_type="latest", cnn_module_kernel=31)
    return ConformerEncoder(80, **size, **own), 100, None


def errors(predicted: List[float], measured: List[float]) -> Dict[str, float]:
    """Return mean and largest absolute error, as shares of what was measured."""
    off = [abs(p / m - 1) for p, m in zip(predicted, measured)]
    return {"mean": round(sum(off) / len(off), 4), "max": round(max(off), 4)}


def compare(args: argparse.Namespace, seconds: float) -> Dict[str, Any]:
    """Measure a table and structures of one length."""
    from espnet_prune import Structure, cost, unit_graph
    from espnet_prune.measure.latency_fit import measure_table
    from espnet_prune.measure.latency_ratio import shares_of_time

    encoder, rate, ctc = encoder_of(args)
    encoder.eval()
    dense, frames = unit_graph(encoder).dense, round(rate * seconds)
    table = measure_table(encoder, frames, seconds, budget=args.max_seconds, ctc=ctc)
    print(table.summary(dense), flush=True)
    timed, macs, predicted, measured = table.timed(dense), [], [], []
    for i in range(args.structures):
        keep = 0.06 + 0.9 * i / max(1, args.structures - 1)
        structure = Structure.random(encoder, seed=10_000 + i, keep=keep)
        share = shares_of_time(encoder, structure, frames, ctc=ctc)["encoder"]
        kept = timed.with_widths(structure.widths())
        measured.append(share * table.dense_ms)
        predicted.append(cost(kept, frames).ms)
        macs.append(cost(kept, frames).macs)
        print(
            f"{seconds:g} s, keep {keep:.2f}: measured {measured[-1]:.1f} ms, "
            f"predicted {predicted[-1]:.1f} ({predicted[-1] / measured[-1] - 1:+.1%})",
            flush=True,
        )
    rates = [ms / n for ms, n in zip(measured, macs)]
    best = min(rates, key=lambda c: errors([c * n for n in macs], measured)["mean"])
    whole = table.dense_ms / cost(dense, frames).macs
    return {
        "seconds": seconds,
        "structures_of_table": table.structures,
        "dense_ms": round(table.dense_ms, 2),
        "span": round(max(measured) / min(measured), 2),
        "table": errors(predicted, measured),
        "macs_best_constant": errors([best * n for n in macs], measured),
        "macs_constant_of_dense": errors([whole * n for n in macs], measured),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_config", help="config.yaml; weights do not matter")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 30.0])
    parser.add_argument("--structures", type=int, default=20)
    parser.add_argument("--max_seconds", type=float, default=90.0, help="of a table")
    args = parser.parse_args()
    import torch

    torch.manual_seed(0)
    found = [compare(args, seconds) for seconds in args.seconds]
    passed = all(row["table"]["mean"] <= GOAL for row in found)
    print(json.dumps({"goal": GOAL, "passed": passed, "lengths": found}))


if __name__ == "__main__":
    main()

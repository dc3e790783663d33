# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""wav2vec 2.0 Base at real size: what gates cost, and what half the MACs save.

    python test/benchmarks/bench_wav2vec2.py [--steps 5] [--model hubert_base]

Prints JSON. A training step (CTC, 4 x 5 s, AdamW, one thread, random weights) with all
gates attached against the same without: median seconds, taken in turns, and the peak
of resident memory, each in a process of its own. Then encoder time for one utterance,
dense against cut to half of the MACs by magnitude, in turns. The goals are ratios of
at most 1.15 (step, memory) and 0.6 (encoder).
"""

import argparse
import json
import logging
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict

import torch
from bench_prune_step import TOKENS, training_step  # beside this script

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
GOALS = {"step": 1.15, "memory": 1.15, "encoder": 0.6}
RATE = 16000


def config(model: str, pruning: bool) -> argparse.Namespace:
    """Return what `build_model` needs."""
    return argparse.Namespace(
        token_list=TOKENS,
        input_size=1,
        frontend=None,
        frontend_conf={},
        specaug=None,
        normalize=None,
        encoder="pruned_wav2vec2",
        encoder_conf=dict(model=model, layer_drop_rate=0.0, mask_time_prob=0.05),
        decoder=None,
        decoder_conf={},
        ctc_conf={},
        model="prune" if pruning else "espnet",
        model_conf=dict(ctc_weight=1.0, report_cer=False, report_wer=False),
        init=None,
    )


def build(args: argparse.Namespace, pruning: bool) -> Callable[[], None]:
    """Return a training step as a function without arguments."""
    import espnet_prune
    from espnet_prune.distill.config import DistillConf
    from espnet_prune.distill.hook import set_losses
    from espnet_prune.select.l0.hook import GateHook
    from espnet_prune.train.task import ASRTask

    torch.manual_seed(0)
    model = ASRTask.build_model(config(args.model, pruning)).train()
    groups: list = [dict(params=list(model.parameters()))]
    gates = None
    if pruning:
        gates = espnet_prune.attach_gates(
            model.encoder, budget=dict(kind="macs", sparsity=0.5), ramp_steps=500
        )
        groups.append(dict(params=list(gates.parameters()), lr=gates.gate_lr))
        set_losses(model, DistillConf())
        model.add_hook(GateHook(gates))
    generator = torch.Generator().manual_seed(0)
    length = int(args.seconds * RATE)
    data = dict(
        speech=torch.randn(args.batch, length, generator=generator),
        speech_lengths=torch.linspace(0.75 * length, length, args.batch).long(),
        text=torch.randint(2, 29, (args.batch, 40), generator=generator),
        text_lengths=torch.full((args.batch,), 40),
    )
    return training_step(model, groups, gates, data, lr=1e-5)


def memory(args: argparse.Namespace, kind: str) -> float:
    """Return the peak of resident memory of two steps in a fresh process, in MiB."""
    command = [sys.executable, __file__, "--only", kind, "--model", args.model]
    command += ["--batch", str(args.batch), "--seconds", str(args.seconds)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(out.split()[-1])


def step_costs(args: argparse.Namespace) -> Dict[str, Any]:
    """Compare training steps with and without gates."""
    steps = {kind: build(args, kind == "gated") for kind in ("plain", "gated")}
    seconds: Dict[str, list] = {kind: [] for kind in steps}
    for i in range(args.steps + 1):
        for kind, step in steps.items():
            start = time.perf_counter()
            step()
            if i:
                seconds[kind].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(seconds["gated"], seconds["plain"])]
    mib = {kind: memory(args, kind) for kind in steps}
    return {
        "step_seconds": {k: round(statistics.median(v), 3) for k, v in seconds.items()},
        "step": round(statistics.median(ratios), 3),
        "peak_mib": {kind: round(size) for kind, size in mib.items()},
        "memory": round(mib["gated"] / mib["plain"], 3),
    }


def encoder_costs(args: argparse.Namespace) -> Dict[str, Any]:
    """Compare the dense encoder with its cut to half of the MACs."""
    import espnet_prune
    from espnet_prune.measure.latency import measure_latency
    from espnet_prune.models import build_model
    from espnet_prune.select.budget import Budget
    from espnet_prune.select.scores import by_quantiles
    from espnet_prune.units import unit_norms

    torch.manual_seed(0)
    dense = build_model(vars(config(args.model, False))).encoder.eval()
    frames = int(100 * args.seconds)
    graph = espnet_prune.unit_graph(dense)
    masks = by_quantiles(
        unit_norms(dense, graph), graph, Budget.of("macs", 0.5, frames)
    )
    small = espnet_prune.cut(dense, graph.structure(masks))
    times = measure_latency(
        {"dense": dense, "cut": small},
        frames=frames,
        input_size=1,
        frame_samples=RATE // 100,
        runs=args.runs,
    )
    costs = {"dense": espnet_prune.cost(dense, frames)}
    costs["cut"] = espnet_prune.cost(small, frames)
    return {
        "params": {name: value.params for name, value in costs.items()},
        "gmacs": {name: round(value.macs / 1e9, 4) for name, value in costs.items()},
        "encoder_ms": {name: round(value.min_ms, 1) for name, value in times.items()},
        "encoder": round(times["cut"].min_ms / times["dense"].min_ms, 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="wav2vec2_base")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", choices=["plain", "gated"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if args.only:
        step = build(args, args.only == "gated")
        for _ in range(2):
            step()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    result = {**encoder_costs(args), **step_costs(args), "goals": GOALS}
    result["reached"] = {name: result[name] <= goal for name, goal in GOALS.items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

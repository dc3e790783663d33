# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Method obs at real size: the time and the memory that it takes.

    python test/benchmarks/bench_obs.py --data_dir /path/to/train
        [--size conformer|large|wav2vec2_base] [--sparsity 0.5] [--threads 2]

`conformer` is the model of egs2/librispeech_100 (12 blocks, d256, 1,024 units, with its
decoder), `large` the same of d512 and 2,048 units, `wav2vec2_base` a CTC model. Weights
are random, so that nothing but the cost means anything; texts are what is to be heard.
All kinds of units of the encoder go. Prints a table of seconds, then one line of JSON:
{seconds by step, minutes, cpu_minutes, peak_gib, goals, reached}. The goals are those
of `conformer`: 10 minutes and 4 GB on two cores.
"""

import argparse
import functools
import json
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict

import torch
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
GOALS = {"minutes": 10.0, "peak_gib": 4e9 / 2**30}
RECIPE = ROOT / "egs2/librispeech_100/asr_prune1/conf/train_asr_conformer.yaml"
LARGE = dict(output_size=512, attention_heads=8, linear_units=2048)
# where the time goes, by the functions of the path that are timed
STEPS = {
    "calibration": "gather",
    "curves": "curves",
    "allocation": "removal_ranks",
    "projection": "project",
    "weights": "solved",
    "cut": "cut",
}


def config(size: str) -> Dict[str, Any]:
    """Return the config.yaml of a model that spells."""
    tokens = ["<blank>", "<unk>", "'", "<space>", *map(chr, range(65, 91)), "<sos/eos>"]
    base: Dict[str, Any] = dict(
        token_list=tokens,
        token_type="char",
        use_preprocessor=True,
        preprocessor="default",
        specaug=None,
        ctc_conf={},
        model="espnet",
        init=None,
    )
    if size == "wav2vec2_base":
        encoder = dict(encoder="pruned_wav2vec2", encoder_conf=dict(model=size))
        own = dict(frontend=None, input_size=1, normalize=None, decoder=None)
        return {**base, **encoder, **own, "model_conf": dict(ctc_weight=1.0)}
    recipe = yaml.safe_load(RECIPE.read_text())
    keys = ("encoder", "encoder_conf", "decoder", "decoder_conf", "model_conf")
    base.update({key: recipe[key] for key in keys})
    if size == "large":
        base["encoder_conf"] = {**recipe["encoder_conf"], **LARGE}
    frontend = {"fs": 16000, "n_mels": 80, **recipe["frontend_conf"]}
    return {**base, "frontend_conf": frontend, "normalize": "utterance_mvn"}


def timed(function: Callable, step: str, seconds: Dict[str, float]) -> Callable:
    """Return a function that adds its time to a step."""

    @functools.wraps(function)
    def run(*args: Any, **more: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **more)
        finally:
            seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - start

    return run


def plan_of(args: argparse.Namespace, folder: str) -> Any:
    """Return the plan of a model with random weights."""
    from espnet_prune.models import build_model
    from espnet_prune.select.plan import Plan

    torch.manual_seed(0)
    own = config(args.size)
    conf = {"method": "obs", "seed": 0, "obs_conf": args.obs_conf}
    conf["budget"] = {"kind": args.kind, "sparsity": args.sparsity}
    options = argparse.Namespace(
        calibration=args.data_dir, output_dir=folder, model_config="", ngpu=0
    )
    return Plan.of(conf, build_model(own).eval(), own, options)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument(
        "--size", choices=["conformer", "large", "wav2vec2_base"], default="conformer"
    )
    parser.add_argument("--kind", default="params")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--num_utts", type=int, default=300)
    args = parser.parse_args()
    args.obs_conf = {"labels": True, "num_utts": args.num_utts}
    logging.disable(logging.INFO)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    from espnet_prune.select.obs import path, speech
    from espnet_prune.select.obs.run import entries_for, make_path

    seconds: Dict[str, float] = {}
    for step, name in STEPS.items():
        setattr(path, name, timed(getattr(path, name), step, seconds))
    judge = timed(speech.Judge.__call__, "judging", seconds)
    speech.Judge.__call__ = judge  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(args, folder)
        start, begun = time.perf_counter(), time.process_time()
        found, told = make_path(plan, entries_for(plan))
        selection = found.at(plan.budget)
        whole = time.perf_counter() - start
    seconds["rest"] = whole - sum(seconds.values())
    for step, taken in seconds.items():
        print(f"{step:<12} {taken:8.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    result = {
        "size": args.size,
        "rounds": len(told),
        "removed": plan.budget.reached(plan.graph.dense, selection.structure),
        "seconds": {step: round(taken, 1) for step, taken in seconds.items()},
        "minutes": round(whole / 60, 2),
        "cpu_minutes": round((time.process_time() - begun) / 60, 2),
        "peak_gib": round(peak, 2),
        "threads": args.threads,
        "goals": GOALS,
    }
    result["reached"] = {key: result[key] <= goal for key, goal in GOALS.items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

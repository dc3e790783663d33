# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a pruning step with a teacher costs, compared with a dense training step.

    python test/benchmarks/bench_prune_step.py [--steps 12] [--width 96] [--layers 6]

Prints one JSON line with the median seconds of both steps, taken in turns on the same
batch with one thread, and their ratio. The goal is a ratio of at most 1.6.
"""

import argparse
import json
import logging
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
GOAL = 1.6
TOKENS = ["<blank>", "<unk>", *(f"t{i}" for i in range(27)), "<sos/eos>"]


def config(layers: int, width: int) -> argparse.Namespace:
    """Return what `build_model` needs; the size of the AN4 comparison model."""
    return argparse.Namespace(
        token_list=TOKENS,
        input_size=80,
        frontend=None,
        frontend_conf={},
        specaug=None,
        normalize=None,
        encoder="conformer",
        encoder_conf=dict(
            output_size=width,
            attention_heads=4,
            linear_units=4 * width,
            num_blocks=layers,
            input_layer="conv2d",
            macaron_style=True,
            rel_pos_type="latest",
            pos_enc_layer_type="rel_pos",
            selfattention_layer_type="rel_selfattn",
            use_cnn_module=True,
            cnn_module_kernel=15,
        ),
        decoder="transformer",
        decoder_conf=dict(attention_heads=4, linear_units=4 * width, num_blocks=1),
        ctc_conf={},
        model="espnet",
        model_conf=dict(ctc_weight=0.5, report_cer=False, report_wer=False),
        init=None,
    )


def batch(size: int, frames: int) -> dict:
    """Return features of `size` utterances, a quarter of the frames padding at most."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.linspace(0.75 * frames, frames, size).long()
    text = torch.randint(2, 29, (size, 20), generator=generator)
    return dict(
        speech=torch.randn(size, frames, 80, generator=generator),
        speech_lengths=lengths,
        text=text,
        text_lengths=torch.full((size,), 20),
    )


def training_step(model, groups, gates, data: dict, lr: float):
    """Return a training step as a function without arguments.

    Args:
        model: The model.
        groups: Parameter groups, the first is clipped.
        gates: The gates of a pruning step, or None.
        data: A batch, on the model's device.
        lr: Learning rate of the groups that have none.
    """
    optimizer = torch.optim.AdamW(groups, lr=lr)

    def step() -> None:
        loss, _, _ = model(**{k: v.clone() for k, v in data.items()})
        loss.backward()
        torch.nn.utils.clip_grad_norm_(groups[0]["params"], 5.0)
        optimizer.step()
        if gates is not None:
            gates.after_step()
        optimizer.zero_grad()
        if loss.is_cuda:
            torch.cuda.synchronize()

    return step


def build(args: argparse.Namespace, pruning: bool, teacher: bool):
    """Return a training step as a function without arguments."""
    import espnet_prune
    from espnet_prune.distill.config import DistillConf
    from espnet_prune.distill.hook import distil, set_losses
    from espnet_prune.select.l0.hook import GateHook
    from espnet_prune.train.task import ASRTask

    conf = config(args.layers, args.width)
    conf.model = "prune" if pruning else "espnet"
    model = ASRTask.build_model(conf).to(args.device).train()
    groups = [dict(params=list(model.parameters()))]
    gates = None
    if pruning:
        gates = espnet_prune.attach_gates(
            model.encoder, budget=dict(kind="params", sparsity=0.5), ramp_steps=500
        ).to(args.device)
        groups.append(dict(params=list(gates.parameters()), lr=gates.gate_lr))
        set_losses(model, DistillConf())
        model.add_hook(GateHook(gates))
        if teacher:
            conf.model = "espnet"
            distil(model, ASRTask.build_model(conf), DistillConf())
    data = {k: v.to(args.device) for k, v in batch(args.batch, args.frames).items()}
    return training_step(model, groups, gates, data, lr=1e-4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    steps = {
        "dense": build(args, False, False),
        "prune": build(args, True, False),
        "prune_teacher": build(args, True, True),
    }
    seconds = {name: [] for name in steps}
    for i in range(args.steps + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if i >= 2:
                seconds[name].append(time.perf_counter() - start)
    result = {name: round(statistics.median(v), 4) for name, v in seconds.items()}
    # neighbours in time, so that other work on the machine hits both
    for name in ("prune", "prune_teacher"):
        ratios = [a / b for a, b in zip(seconds[name], seconds["dense"])]
        result[f"{name}/dense"] = round(statistics.median(ratios), 3)
    result["goal"] = GOAL
    result["reached"] = result["prune_teacher/dense"] <= GOAL
    print(json.dumps(result))
    if args.profile:
        with torch.profiler.profile() as profile:
            steps["prune_teacher"]()
        print(profile.key_averages().table("self_cpu_time_total", row_limit=25))


if __name__ == "__main__":
    main()

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A gated training of the tiny model, as a command."""

import torch

# so short a training cannot come to its budget, and does not go on for it
L0 = dict(
    budget=dict(kind="params", sparsity=0.4),
    ramp_steps=20,
    gate_lr=0.65,
    log_interval=2,
    extra_steps=0,
)
DISTIL = dict(layers=2)


def command(tiny, dense, output, epochs=3, **changes):
    """Return the gated training command."""
    changes = {"l0_conf": L0, "distill_conf": DISTIL, "accum_grad": 2, **changes}
    config = tiny.write_config(
        tiny.root / f"{output.name}.yaml", max_epoch=epochs, batch_size=2, **changes
    )
    teacher = str(dense / "valid.acc.ave.pth")
    return [
        *("--config", config, "--output_dir", str(output), "--resume", "true"),
        *("--teacher_model", teacher, "--init_param", teacher, *tiny.options),
    ]


def load_gated(output):
    """Return the model of a finished training, and its gates."""
    from espnet_prune.models import build_model, read_model_config
    from espnet_prune.select.l0.run import load_gates

    model = build_model(read_model_config(output / "config.yaml"))
    return model, load_gates(output, model)


def same(a, b):
    """Say whether two files hold the same tensors, bit for bit."""
    a, b = (torch.load(p, weights_only=True) for p in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

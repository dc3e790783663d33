# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a hook can add to a training that knows nothing of it."""

import re
from pathlib import Path

import pytest
import torch

import espnet_prune
from test.espnet_prune.train.gated import command


def test_the_training_knows_no_method():
    room = Path(espnet_prune.__file__).parent / "train"
    for path in sorted(room.glob("*.py")):
        found = re.findall(r"(?i)gate[ds]?\b|\bl0|_l0", path.read_text())
        assert not found, (path.name, found)
        imports = re.findall(r"(?:from|import) espnet_prune\.(\w+)", path.read_text())
        assert not {"select", "distill", "cutting", "bin"} & set(imports), path.name


def test_a_file_named_hook_is_an_extension():
    from espnet_prune.train.extensions import extensions

    found = {e.what: (e.keeps_last, e.adds_loss) for e in extensions()}
    assert list(found.items()) == [
        ("weights held at first", (False, False)),
        ("gates", (True, True)),
        ("a teacher", (False, True)),
        ("random depths", (False, True)),
    ]


@pytest.fixture
def offset(train, monkeypatch):
    """An extension: a loss, a penalty, a parameter with a rate of its own, a state."""
    from espnet_prune.train import precheck, task, trainer
    from espnet_prune.train.extensions import Extension, extensions
    from espnet_prune.train.hooks import TrainHook
    from espnet_prune.train.loss_means import LossMix
    from espnet_prune.train.ranks import Part

    class OffsetHook(TrainHook):
        name, own_rate = "offset", 0.5

        def __init__(self):
            self.module, self.calls = torch.nn.Linear(1, 1), []
            self.steps = 0

        def forward_begin(self, model):
            self.calls.append("begin")

        def losses(self, model):
            value = self.module.bias.sum().square()
            return {"offset": Part(value, torch.ones(()))}

        def penalty(self, model):
            value = (self.module.weight - 2.0).square().sum()
            return value, {"off": value.detach()}

        def step(self, run):
            self.steps += 1

        def state_dict(self):
            return {"steps": torch.tensor(self.steps)}

        def load_state_dict(self, state):
            self.steps = int(state["steps"])

    class Offset(Extension):
        what, made = "an offset", []

        def add_options(self, group):
            group.add_argument("--offset", type=int, default=0)

        def wanted(self, args):
            return args.offset > 0

        def extend(self, args, model):
            model.mix = LossMix({"asr": 1.0, "offset": 1.0}, normalise=False)
            self.made.append(OffsetHook())
            model.add_hook(self.made[-1])

    found = Offset()
    for module in (task, trainer, precheck):
        monkeypatch.setattr(module, "extensions", lambda: [*extensions()[1:], found])
    return found


def test_a_hook_adds_loss_parameters_state_and_steps(tiny, dense, train, offset):
    output = tiny.root / "offset"
    changes = dict(l0_conf=None, distill_conf=None, accum_grad=1)
    for epochs in (1, 2):
        cmd = command(tiny, dense, output, epochs=epochs, offset=1, **changes)
        train(without(cmd))
    first, second = offset.made
    assert first.calls and second.calls == ["begin"] * 6
    # the state came through the resume, and every step was counted
    assert (first.steps, second.steps) == (6, 12)
    # Adam at the hook's own rate: 12 steps of up to 0.5
    assert float(second.module.weight) == pytest.approx(2.0, abs=0.8)
    saved = torch.load(output / "2epoch.pth", weights_only=True)
    assert saved["offset.weight"].shape == (1, 1)


def without(cmd):
    """Leave the teacher out of a command."""
    at = cmd.index("--teacher_model")
    return cmd[:at] + cmd[at + 2 :]

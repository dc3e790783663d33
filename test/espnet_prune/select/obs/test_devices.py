# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""No tensor is made on a device of its own choice; proven without a second device.

Tensors of the model say that they are on a GPU. Where code of method obs puts one of
them together with one that is not, a GPU would refuse, and so does this test.
"""

import sys

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from espnet_prune.select.obs.speech import Utterance
from test.espnet_prune import encoder_zoo
from test.espnet_prune.select.obs.stubs import Noise, gone, plan_of, sized

GPU = torch.device("cuda", 0)


class Away(torch.Tensor):
    """A tensor that says that it is on a GPU."""

    device = property(lambda self: GPU)

    def __deepcopy__(self, memo):
        copied = away(home(self.detach()).clone())
        parameter = isinstance(self, nn.Parameter)
        return nn.Parameter(copied, self.requires_grad) if parameter else copied


def away(x):
    return x.as_subclass(Away) if isinstance(x, torch.Tensor) else x


def home(x):
    return x.as_subclass(torch.Tensor) if isinstance(x, Away) else x


class Apart(TorchFunctionMode):
    """Keeps the two devices apart in what method obs calls."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), getattr(function, "__name__", "")
        if name == "register_hook":
            tensor, hook = args
            return function(tensor, lambda gradient: hook(away(gradient)))
        if name == "cpu":
            return home(args[0]).clone()
        if name == "to":
            return self.moved(function, args, kwargs)
        if kwargs.get("device") is not None:
            there = torch.device(kwargs.pop("device")) == GPU
            return (away if there else home)(function(*args, **kwargs))
        known = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        given = known[:1] if name in ("__getitem__", "__setitem__") else known
        own = {isinstance(x, Away) for x in given if x.dim()}
        if len(own) == 2 and name not in ("copy_", "set_data") and called_by_us():
            raise RuntimeError(f"{name} of tensors on two devices")
        return function(*args, **kwargs)

    def moved(self, function, args, kwargs):
        """Return what `to` gives: where it is told, or where the tensor was."""
        tensor, words = args[0], [*args[1:], *kwargs.values()]
        there, kinds = isinstance(tensor, Away), []
        for word in words:
            if isinstance(word, torch.Tensor):
                there = isinstance(word, Away)
                kinds.append(word.dtype)
            elif isinstance(word, (str, torch.device)):
                there = torch.device(word).type == "cuda"
            elif isinstance(word, torch.dtype):
                kinds.append(word)
        found = home(tensor)
        found = function(found, kinds[0]) if kinds else found
        return away(found) if there else found


def called_by_us():
    """Say whether the call is of method obs, and not of ESPnet or of torch."""
    frame = sys._getframe(2)
    while "torch" in frame.f_code.co_filename.split("site-packages")[-1]:
        frame = frame.f_back
    name = frame.f_code.co_filename
    return "espnet_prune/select/obs/" in name and "/test/" not in name


class Sent(Noise):
    """Noise on the device."""

    def __iter__(self):
        for utterance in super().__iter__():
            yield Utterance(utterance.name, tree_map(away, utterance.batch))


def send(model):
    """Say of all tensors of a model that they are on the device."""
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # an alias that is changed tells no gradient
        for name, tensor in module._parameters.items():
            if tensor is not None:
                module._parameters[name] = nn.Parameter(away(tensor.data))
        for name, tensor in module._buffers.items():
            module._buffers[name] = away(tensor)


@pytest.mark.parametrize("variant", ["latest", "e_branchformer_linear", "large"])
def test_all_runs_where_the_model_is(variant):
    budget = {"kind": "macs", "sparsity": 0.4, "frames": 200}
    found = []
    for there in (False, True):
        plan = plan_of(encoder_zoo.build(variant), budget)
        if not there:
            path = gone(plan, Noise(variant), [0.2])
            found.append(path.at(sized(path, 0.3)))
            continue
        send(plan.model)
        with Apart():
            path = gone(plan, Sent(variant), [0.2])
            moments = path.rounds[0].moments.values()
            assert all(isinstance(m.gram, Away) for m in moments)
            found.append(path.at(sized(path, 0.3)))
    for name, mask in found[0].masks.items():
        assert torch.equal(mask, found[1].masks[name])
    for name, tensor in found[0].weights.items():
        assert not isinstance(found[1].weights[name], Away)
        assert torch.allclose(tensor, found[1].weights[name])

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's modules behind the interface of sessions, for the searches alone.

The caches of a decoder hold the tokens themselves: what reorders them wrongly decodes
something else.
"""

from types import SimpleNamespace
from typing import Any, Dict, List

import numpy as np
import torch


class _Session:
    """What the runtime uses of onnxruntime.InferenceSession."""

    def __init__(self, inputs: Dict[str, List[Any]], outputs: List[str]) -> None:
        self.inputs = [SimpleNamespace(name=n, shape=s) for n, s in inputs.items()]
        self.outputs = [SimpleNamespace(name=name) for name in outputs]
        self.runs = 0

    def get_inputs(self) -> List[Any]:
        return self.inputs

    def get_outputs(self) -> List[Any]:
        return self.outputs

    @torch.no_grad()
    def run(self, names: List[str], given: Dict[str, np.ndarray]) -> List[np.ndarray]:
        assert set(given) == {one.name for one in self.inputs}
        self.runs += 1
        found = self.compute(**{k: torch.from_numpy(v) for k, v in given.items()})
        return [found[name].numpy() for name in names]


class Memory(_Session):
    """The encoder's output as it is."""

    def __init__(self) -> None:
        super().__init__({"encoder_out": [1, "T", "D"]}, ["memory_k_0", "memory_v_0"])

    def compute(self, encoder_out):
        return {"memory_k_0": encoder_out[:, None], "memory_v_0": encoder_out[:, None]}


class DecoderStep(_Session):
    """An attention decoder that reads all tokens again."""

    def __init__(self, decoder: torch.nn.Module) -> None:
        names = ["memory_k_0", "memory_v_0", "cache_k_0", "cache_v_0"]
        inputs = {"tokens": ["B", 1], **{name: ["B", 1, "L", 1] for name in names}}
        super().__init__(inputs, ["log_probs", "new_cache_k_0", "new_cache_v_0"])
        self.decoder = decoder

    def compute(self, tokens, memory_k_0, memory_v_0, cache_k_0, cache_v_0):
        assert torch.equal(cache_k_0, cache_v_0)
        cache = torch.cat([cache_k_0, tokens[:, None, :, None].float()], dim=2)
        before = cache[:, 0, :, 0].long()
        memory = memory_k_0[:, 0].expand(len(before), -1, -1)
        mask = torch.ones(before.shape[1], before.shape[1]).bool().tril()[None]
        scores, _ = self.decoder.forward_one_step(before, mask, memory)
        return {"log_probs": scores, "new_cache_k_0": cache, "new_cache_v_0": cache}

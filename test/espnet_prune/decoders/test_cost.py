# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Formula = reality for decoders: MACs against those counted token by token."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from espnet_prune import Structure, cost, cut
from espnet_prune.families.decoder import ANEW
from test.espnet_prune.decoders.zoo import VARIANTS, build, sequence, stepwise

FRAMES = 40
SCORED = sorted(set(VARIANTS) - {"hidden", "vectors"})


class Rows:
    """Counts MACs of Linears, and those of keys and values that were there before."""

    def __init__(self, decoder):
        self.step, self.again = 0, 0
        for name, module in decoder.named_modules():
            if name.endswith(("attn.linear_k", "attn.linear_v")):
                module.register_forward_hook(self.hook("src_attn" in name))

    def hook(self, source):
        def count(module, args, output):
            rows = output[..., 0].numel()
            hypotheses = output.size(0)
            if not source:
                new = hypotheses  # of every hypothesis the last token
            else:
                new = rows // hypotheses if self.step == 0 else 0
            self.again += (rows - new) * module.weight.numel()

        return count


def counted(decoder, tokens, beam):
    """Return MACs as ESPnet computes them, and those of keys and values made anew."""
    memory, ys = sequence(frames=FRAMES, tokens=tokens, hypotheses=beam)
    rows = Rows(decoder)
    score = decoder.batch_score

    def step(*args):
        found = score(*args)
        rows.step += 1
        return found

    decoder.batch_score = step
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        stepwise(decoder, memory, ys)
    del decoder.batch_score
    return counter.get_total_flops() // 2, rows.again


@pytest.mark.parametrize("variant", SCORED)
@pytest.mark.parametrize("tokens,beam", [(1, 1), (7, 1), (6, 3)])
def test_macs_and_params(variant, tokens, beam):
    dense = build(variant)
    for seed in (None, 3, 4):
        drawn = Structure.dense(dense) if seed is None else None
        decoder = cut(dense, drawn or Structure.random(dense, seed))
        structure = Structure.dense(decoder).with_tokens(tokens / FRAMES, beam)
        whole, again = counted(decoder, tokens, beam)
        assert cost(structure, FRAMES).macs == whole - again
        stack = structure["decoder"]
        stack.price = stack.price.with_clock(uses=ANEW)
        assert cost(structure, FRAMES).macs == whole
        numel = sum(p.numel() for p in decoder.parameters())
        assert cost(structure, FRAMES, "decoder").params == numel


def test_the_output_layer_is_in_it():
    decoder, bare = build(), build("hidden")
    assert isinstance(decoder.output_layer, nn.Linear)
    left = cost(decoder).macs - cost(bare).macs
    assert left == 50 * decoder.output_layer.weight.numel()  # 5 tokens/s over 10 s

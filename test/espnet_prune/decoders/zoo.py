# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Small decoders of every variant that can be pruned, and what runs them."""

import os
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from espnet_prune.report.decoding import releases
from espnet_prune.utils import write_json
from test.espnet_prune.encoder_zoo import randomise

LONG = os.environ.get("ESPNET_PRUNE_LONG") == "1"
DRAWN = 100 if LONG else 5
RESULTS = Path(__file__).resolve().parents[2] / "results"

VOCABULARY, WIDTH = 11, 16
SMALL = dict(attention_heads=4, linear_units=24, num_blocks=3)
VARIANTS = {
    "stock": SMALL,
    "post_norm": dict(SMALL, normalize_before=False),
    "qk_norm": dict(SMALL, qk_norm=True),
    "concat_after": dict(SMALL, concat_after=True),
    "hidden": dict(SMALL, use_output_layer=False),
    "vectors": dict(SMALL, input_layer="linear"),
}


def recorded(variants, name):
    """Yield what the long form fills in per variant; written when all are there."""
    found = {}
    yield found
    if LONG and set(found) == set(variants):
        record = {"structures": DRAWN, "largest_relative_diff": found}
        write_json({**record, **releases()}, RESULTS / name)


def build(variant="stock", seed=0, pruned=False, **more):
    from espnet2.asr.decoder.transformer_decoder import TransformerDecoder

    from espnet_prune.decoders.pruned_transformer import PrunedTransformerDecoder

    torch.manual_seed(seed)
    make = PrunedTransformerDecoder if pruned else TransformerDecoder
    decoder = make(VOCABULARY, WIDTH, **{**VARIANTS[variant], **more})
    with torch.no_grad():  # so that attention is no average, and errors are seen
        for block in decoder.decoders:
            for parameter in block.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(2.0)
    return randomise(decoder, seed)


def sequence(seed=0, frames=13, tokens=7, hypotheses=3):
    """Return a memory (1, T, d) and tokens (hypotheses, L)."""
    generator = torch.Generator().manual_seed(seed)
    memory = torch.randn(1, frames, WIDTH, generator=generator)
    shape = (hypotheses, tokens)
    return memory, torch.randint(VOCABULARY, shape, generator=generator)


def forced(decoder, memory, ys):
    """Return the scores (hypotheses, L, V) of all tokens at once."""
    memory = memory.expand(len(ys), -1, -1)
    lengths = [torch.full((len(ys),), x.size(1)) for x in (memory, ys)]
    return decoder(memory, lengths[0], ys, lengths[1])[0].log_softmax(-1)


def stepwise(decoder, memory, ys):
    """Return the same token by token, as a batched beam search asks for them."""
    states, found = [None] * len(ys), []
    for step in range(1, ys.size(1) + 1):
        xs = memory.expand(len(ys), -1, -1)
        scores, states = decoder.batch_score(ys[:, :step], states, xs)
        found.append(scores)
    return torch.stack(found, 1)


def alone(decoder, memory, ys):
    """Return the same of every hypothesis on its own, as a beam search asks."""
    rows = []
    for hypothesis in ys:
        state, found = None, []
        for step in range(1, len(hypothesis) + 1):
            scores, state = decoder.score(hypothesis[:step], state, memory[0])
            found.append(scores)
        rows.append(torch.stack(found))
    return torch.stack(rows)


def partially(decoder, memory, ys):
    """Return the same as partially autoregressive decoding asks for them."""
    states, found = [None], []
    for step in range(1, ys.size(1) + 1):
        lengths = torch.full((len(ys),), step)
        xs = memory.expand(len(ys), -1, -1)
        scores, states = decoder.batch_score_partially_AR(
            ys[:, :step], states, xs, lengths
        )
        found.append(scores)
    return torch.stack(found, 1)


WAYS = (forced, stepwise, alone, partially)


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


def counted_macs(decoder, tokens, beam, frames):
    """Return MACs as ESPnet computes them, and those of keys and values made anew."""
    memory, ys = sequence(frames=frames, tokens=tokens, hypotheses=beam)
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

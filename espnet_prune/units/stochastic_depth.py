# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Stochastic depth: while training, a block is skipped with some probability.

The blocks of ESPnet's Transformer, Conformer and Branchformer carry their rate as the
attribute `stochastic_depth_rate`. In training such a block returns its input with
probability p; otherwise each of its residual branches is multiplied by 1 / (1 - p). In
evaluation nothing is skipped or scaled. For distillation, a skipped block hands on its
input.

Not supported: E-Branchformer, whose blocks have no rate. Its `layer_drop_rate` skips
blocks without scaling the others, and a skipped block takes its intermediate CTC loss
with it.
"""

from typing import Any, List, Sequence, Union

from torch import nn

from espnet_prune.utils import UserError, nearest

Rate = Union[float, Sequence[float]]

RULES = ("constant", "linear")


def block_rates(rate: Rate, rule: str, num_blocks: int) -> List[float]:
    """Return the probability of being skipped for every block.

    Args:
        rate: One rate (int or float), or a list with one rate per block.
        rule: "constant": every block has the rate; "linear": block l = 1..L has
            rate * l / L, so that the last block is skipped most often.
        num_blocks: Number of blocks L.

    Returns:
        num_blocks rates.

    Raises:
        UserError: Unknown rule; a list beside the linear rule, or one of another
            length; a rate that is not a number, negative, or 1 or more.
    """
    if rule not in RULES:
        raise UserError(
            f"stochastic_depth_rule: no rule is called '{rule}'"
            f"{nearest(rule, RULES)}; known are {', '.join(RULES)}"
        )
    listed = isinstance(rate, (list, tuple))
    if listed and rule != "constant":
        raise UserError(
            f"stochastic_depth_rule: {rule} makes the rates of all blocks out of one; "
            "give a single stochastic_depth_rate, or leave the rule out"
        )
    if listed and len(rate) != num_blocks:
        raise UserError(
            f"stochastic_depth_rate: {len(rate)} rates for {num_blocks} blocks; give "
            "one per block, or a single number"
        )
    for value in rate if listed else [rate]:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # 1 would divide by zero; the comparison refuses nan too
        if not number or not 0 <= value < 1:
            raise UserError(
                f"stochastic_depth_rate: {value} is not a probability of skipping a "
                "block; give a number from 0 to below 1"
            )
    if listed:
        return [float(value) for value in rate]
    if rule == "linear":
        return [float(rate) * block / num_blocks for block in range(1, num_blocks + 1)]
    return [float(rate)] * num_blocks


def set_rates(encoder: nn.Module, rates: Sequence[float]) -> None:
    """Give every block its rate; as an attribute it stays with a block that moves."""
    for block, rate in zip(encoder.encoders, rates):
        block.stochastic_depth_rate = rate


def skips_blocks(encoder: Any) -> bool:
    """Say whether training may leave a block of this encoder without gradient."""
    if not isinstance(encoder, nn.Module):
        return False
    if getattr(encoder, "layer_drop_rate", 0.0) > 0:
        return True  # E-Branchformer
    rates = (getattr(m, "stochastic_depth_rate", 0.0) for m in encoder.modules())
    return any(isinstance(rate, (int, float)) and rate > 0 for rate in rates)

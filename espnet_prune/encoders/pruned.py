# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What every prunable encoder adds to its stock class: sizes and stochastic depth."""

import logging
from typing import Any, Optional

from espnet_prune.families import unit_graph
from espnet_prune.units import narrow
from espnet_prune.units.stochastic_depth import Rate, block_rates, set_rates
from espnet_prune.utils import UserError


class Prunable:
    """Stands before a stock encoder class among the bases of a pruned one.

    With the defaults the result equals the stock encoder, state dict keys included.

    Args:
        input_size: Feature dimension of the input.
        structure: `Structure.widths()`: per-block lists `attention_heads`,
            `linear_units`, ...; 0 means that the module is absent.
        stochastic_depth_rate: Probability of skipping a block in a training step: a
            number, or a list with one per dense block. A block that `structure` keeps
            keeps its rate.
        stochastic_depth_rule: "constant", or "linear": block l of L is skipped with
            probability stochastic_depth_rate * l / L.
        layer_drop_rate: Without effect in the stock Conformer and Transformer, and so
            only 0; E-Branchformer and wav2vec 2.0 skip blocks by it.
        **stock: Every argument of the stock encoder, with the dense sizes.

    Raises:
        UserError: A `layer_drop_rate` in a model that is not cut, or one that the stock
            class does not know; rates that are not probabilities below 1 or not one
            per block, an unknown rule, rates for an E-Branchformer or a contextual
            block encoder; or a structure that does not fit the dense sizes.
    """

    # what the stock class makes of `layer_drop_rate`: "ignored", "unknown", "skips",
    # "both", "never" or "idle" (it is taken, and no block is ever skipped); blocks of
    # the third kind and of the last two have no stochastic depth
    layer_drop = "ignored"

    def __init__(
        self,
        input_size: int,
        structure: Optional[dict] = None,
        stochastic_depth_rate: Rate = 0.0,
        stochastic_depth_rule: str = "constant",
        layer_drop_rate: float = 0.0,
        **stock: Any,
    ) -> None:
        if layer_drop_rate and self.layer_drop == "unknown":
            raise UserError(
                f"layer_drop_rate: {layer_drop_rate} is unknown to ESPnet's "
                "Branchformer; to skip blocks in training, set stochastic_depth_rate"
            )
        if layer_drop_rate and self.layer_drop in ("ignored", "idle"):
            text = f"layer_drop_rate: {layer_drop_rate} does nothing in ESPnet's "
            if self.layer_drop == "idle":
                text += "e_branchformer_ctc; leave it out"
            else:
                text += (
                    "Conformer and Transformer; to skip blocks in training, set "
                    "stochastic_depth_rate"
                )
            if not structure:
                raise UserError(text)
            # the dense model was trained with it, to no effect: it can still be cut
            logging.warning(text)
        if self.layer_drop not in ("unknown", "never"):
            stock["layer_drop_rate"] = layer_drop_rate
        super().__init__(input_size, **stock)
        self.input_size = input_size
        num_blocks = len(self.encoders)
        rates = block_rates(stochastic_depth_rate, stochastic_depth_rule, num_blocks)
        if self.layer_drop in ("never", "idle"):
            dropped = layer_drop_rate if self.layer_drop == "never" else 0.0
            if dropped or any(rates):
                key = "layer_drop_rate" if dropped else "stochastic_depth_rate"
                raise UserError(
                    f"{key}: {dropped or stochastic_depth_rate} is unknown to "
                    "ESPnet's contextual block encoders and e_branchformer_ctc, whose "
                    f"blocks are never skipped; leave {key} out"
                )
        elif self.layer_drop != "skips":
            set_rates(self, rates)
        elif any(rates):
            raise UserError(
                f"stochastic_depth_rate: {stochastic_depth_rate} does nothing in "
                "ESPnet's E-Branchformer; to skip blocks in training, set "
                "layer_drop_rate"
            )
        if structure:
            # which units stay does not matter: the weights are loaded afterwards
            graph = unit_graph(self)
            wanted = graph.dense.with_widths(structure)
            (stack,) = graph.dense.own
            own, kept = graph.dense[stack].names, wanted[stack].names
            if own.keys() - kept.keys():
                raise UserError(
                    "structure: remaining_heads is missing, and attention_heads alone "
                    "does not say which heads of WavLM these are; take structure from "
                    "the cut model's config.yaml"
                )
            narrow(self, graph, graph.first(wanted), wanted)

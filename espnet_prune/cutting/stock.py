# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write a cut encoder as a stock class where its shape allows."""

import logging
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from espnet_prune.encoders.stochastic_depth import block_rates
from espnet_prune.structure import Structure
from espnet_prune.units.narrow import moved_checkpoints, moved_taps

_STOCK = {
    "branchformer": "pruned_branchformer",
    "conformer": "pruned_conformer",
    "e_branchformer": "pruned_e_branchformer",
    "transformer": "pruned_transformer",
}


def encoder_config(
    name: str, conf: Mapping[str, Any], dense: Structure, kept: Structure
) -> Tuple[str, Dict[str, Any]]:
    """Return `encoder` and `encoder_conf` that rebuild a Structure.

    A stock class can have fewer blocks and other, but equal, widths of feed-forward
    and cgMLP; then the model loads in any ESPnet without this package. A Branchformer
    that averages by fixed weights may also lack a branch per block. Blocks keep their
    rates of stochastic depth, except in a stock Transformer, which knows none: the
    function is the same, but further training skips no blocks. For wav2vec 2.0, HuBERT
    and WavLM there is no stock class.

    Args:
        name: `encoder` of the dense config.
        conf: `encoder_conf` of the dense config.
        dense: Structure of the model that `conf` builds.
        kept: Structure of the cut model.

    Returns:
        Class name and arguments.
    """
    conf = dict(conf)
    if dense.dims.waves:  # ESPnet has no such encoder; and the weights are here now
        conf.pop("weights", None)
        return name, {**conf, "structure": kept.widths()}
    stock = next((s for s, pruned in _STOCK.items() if name in (s, pruned)), name)
    if not conf.get("structure") and _is_stock_shaped(dense, kept):
        conf.pop("structure", None)
        position = [dense.kept_blocks.index(block) for block in kept.kept_blocks]
        if kept.linear_units is not None:
            conf["linear_units"] = kept.linear_units[0]
        if any(kept.cgmlp_units or []):
            conf["cgmlp_linear_units"] = 2 * max(kept.cgmlp_units)
        conf["num_blocks"] = len(position)
        if conf.get("interctc_layer_idx"):
            conf["interctc_layer_idx"] = moved_taps(
                conf["interctc_layer_idx"],
                position,
                conf.get("interctc_use_conditioning", False),
            )
        if conf.get("gradient_checkpoint_layers"):
            conf["gradient_checkpoint_layers"] = moved_checkpoints(
                conf["gradient_checkpoint_layers"], position
            )
        _write_branches(conf, kept, position)
        _write_rates(stock, conf, dense, kept)
        return stock, conf
    return _STOCK[stock], {**conf, "structure": kept.widths()}


def _write_branches(
    conf: Dict[str, Any], kept: Structure, position: Sequence[int]
) -> None:
    """Say what a Branchformer's blocks have each, in `conf`."""
    for key in ("cgmlp_weight", "attn_branch_drop_rate"):
        if isinstance(conf.get(key), (list, tuple)):
            conf[key] = [conf[key][i] for i in position]
    if kept.dims.encoder == "branchformer":
        conf.pop("layer_drop_rate", None)  # only our class takes it
    if kept.dims.merge == "fixed_ave":
        given = conf.get("cgmlp_weight", 0.5)
        weights = given if isinstance(given, list) else [given] * len(position)
        conf["cgmlp_weight"] = [
            float(weight) if attention and cgmlp else float(cgmlp)
            for weight, (attention, cgmlp) in zip(weights, _branches(kept))
        ]


def _branches(kept: Structure) -> List[Tuple[bool, bool]]:
    """Say for each block whether it has attention, and whether it has a cgMLP."""
    number = len(kept.kept_blocks)
    heads = kept.attention_heads or [int(kept.dims.attention == "fast")] * number
    return [(h > 0, c > 0) for h, c in zip(heads, kept.cgmlp_units or [0] * number)]


def _write_rates(
    stock: str, conf: Dict[str, Any], dense: Structure, kept: Structure
) -> None:
    """Say stochastic depth in `conf` as the stock class understands it."""
    rate = conf.pop("stochastic_depth_rate", None)
    rule = conf.pop("stochastic_depth_rule", "constant")
    if rate is None:
        return
    rates = block_rates(rate, rule, len(dense.kept_blocks))
    rates = [rates[dense.kept_blocks.index(block)] for block in kept.kept_blocks]
    if stock not in ("transformer", "e_branchformer"):
        conf["stochastic_depth_rate"] = rates
    elif any(rates):
        logging.info(
            "Written as a stock transformer, which has no stochastic depth; to train "
            f"on with it, set encoder: {_STOCK[stock]} and stochastic_depth_rate: "
            f"{[round(rate, 4) for rate in rates]}"
        )


def _is_stock_shaped(dense: Structure, kept: Structure) -> bool:
    averages = dense.dims.merge == "fixed_ave"
    units = {*(kept.linear_units or []), *(kept.macaron_linear_units or [])}
    gated = set(kept.cgmlp_units or [])
    if averages:
        gated.discard(0)
    if len(units) > 1 or len(gated) > 1 or 0 in units or 0 in gated:
        return False
    position = [dense.kept_blocks.index(block) for block in kept.kept_blocks]
    for field in ("attention_heads", "conv_channels"):
        full, own = getattr(dense, field), getattr(kept, field)
        if full is None:
            continue
        for i, count in zip(position, own):
            if count != full[i] and not (averages and count == 0):
                return False
    if averages and (False, False) in _branches(kept):
        return False
    return kept.subsampling_channels == dense.subsampling_channels

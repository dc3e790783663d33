# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write a cut encoder as a stock class where its shape allows."""

import logging
from typing import Any, Dict, Mapping, Tuple

from espnet_prune.encoders.stochastic_depth import block_rates
from espnet_prune.structure import Structure
from espnet_prune.units.narrow import moved_taps

_STOCK = {"conformer": "pruned_conformer", "transformer": "pruned_transformer"}


def encoder_config(
    name: str, conf: Mapping[str, Any], dense: Structure, kept: Structure
) -> Tuple[str, Dict[str, Any]]:
    """Return `encoder` and `encoder_conf` that rebuild a Structure.

    A stock class can have fewer blocks and other, but equal, feed-forward widths;
    then the model loads in any ESPnet without this package. Blocks keep their rates of
    stochastic depth, except in a stock Transformer, which knows none: the function is
    the same, but further training skips no blocks.

    Args:
        name: `encoder` of the dense config.
        conf: `encoder_conf` of the dense config.
        dense: Structure of the model that `conf` builds.
        kept: Structure of the cut model.

    Returns:
        Class name and arguments.
    """
    conf = dict(conf)
    stock = next((s for s, pruned in _STOCK.items() if name in (s, pruned)), name)
    if not conf.get("structure") and _is_stock_shaped(dense, kept):
        conf.pop("structure", None)
        conf["linear_units"] = kept.linear_units[0]
        conf["num_blocks"] = len(kept.kept_blocks)
        if conf.get("interctc_layer_idx"):
            conf["interctc_layer_idx"] = moved_taps(
                conf["interctc_layer_idx"],
                [dense.kept_blocks.index(block) for block in kept.kept_blocks],
                conf.get("interctc_use_conditioning", False),
            )
        _write_rates(stock, conf, dense, kept)
        return stock, conf
    return _STOCK[stock], {**conf, "structure": kept.widths()}


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
    if stock != "transformer":
        conf["stochastic_depth_rate"] = rates
    elif any(rates):
        logging.info(
            "Written as a stock transformer, which has no stochastic depth; to train "
            f"on with it, set encoder: {_STOCK[stock]} and stochastic_depth_rate: "
            f"{[round(rate, 4) for rate in rates]}"
        )


def _is_stock_shaped(dense: Structure, kept: Structure) -> bool:
    units = set(kept.linear_units + (kept.macaron_linear_units or []))
    if len(units) != 1 or 0 in units:
        return False
    position = [dense.kept_blocks.index(block) for block in kept.kept_blocks]
    for field in ("attention_heads", "conv_channels"):
        full = getattr(dense, field)
        if full is not None and getattr(kept, field) != [full[i] for i in position]:
            return False
    return kept.subsampling_channels == dense.subsampling_channels

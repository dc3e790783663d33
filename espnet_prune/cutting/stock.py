# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write a cut encoder as a stock class where its shape allows."""

from typing import Any, Dict, Mapping, Tuple

from espnet_prune.structure import Structure

_STOCK = {"conformer": "pruned_conformer", "transformer": "pruned_transformer"}


def encoder_config(
    name: str, conf: Mapping[str, Any], dense: Structure, kept: Structure
) -> Tuple[str, Dict[str, Any]]:
    """Return `encoder` and `encoder_conf` that rebuild a Structure.

    A stock class can have fewer blocks and other, but equal, feed-forward widths;
    then the model loads in any ESPnet without this package.

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
    # an intermediate CTC tap that moved needs our constructor
    fits = len(kept.kept_blocks) == len(dense.kept_blocks) or not conf.get(
        "interctc_layer_idx"
    )
    if fits and not conf.get("structure") and _is_stock_shaped(dense, kept):
        conf.pop("structure", None)
        conf["linear_units"] = kept.linear_units[0]
        conf["num_blocks"] = len(kept.kept_blocks)
        if "stochastic_depth_rate" in conf:
            rates = conf["stochastic_depth_rate"]
            if isinstance(rates, (list, tuple)):
                conf["stochastic_depth_rate"] = [rates[i] for i in kept.kept_blocks]
        return stock, conf
    return _STOCK[stock], {**conf, "structure": kept.widths()}


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

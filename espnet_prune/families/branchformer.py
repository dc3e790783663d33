# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Branchformer and E-Branchformer: attention and cgMLP side by side."""

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from torch import nn

from espnet_prune.compat import (
    BranchformerEncoderLayer,
    EBranchformerEncoderLayer,
)
from espnet_prune.families.encoder import EncoderFamily
from espnet_prune.families.merge import add_merge, close_merge
from espnet_prune.structure import Stack
from espnet_prune.units.pricing import Parts, extra


class EBranchformer(EncoderFamily):
    """ESPnet's `e_branchformer`."""

    stock, pruned = "e_branchformer", "pruned_e_branchformer"
    block = EBranchformerEncoderLayer
    uniform = {
        "linear_units": ("linear_units", "macaron_linear_units"),
        "cgmlp_linear_units": ("cgmlp_units",),
    }
    # whose `layer_drop_rate` is an argument of the whole encoder
    has_rates = False
    modules = (
        ("macaron_linear_units", "feed_forward_macaron", "norm_ff_macaron"),
        ("attention_heads", "attn", "norm_mha"),
        ("cgmlp_units", "cgmlp", "norm_mlp"),
        ("linear_units", "feed_forward", "norm_ff"),
    )

    def more(self, parts: Parts, path: str, block: nn.Module, index: int) -> None:
        """Add what the merge costs, and Fastformer's attention."""
        super().more(parts, path, block, index)
        if hasattr(block.attn, "attention_head_size"):
            # products with its global query and key
            width = block.attn.num_attention_heads * block.attn.attention_head_size
            term = extra((), frame=2 * width)
            parts.extra.append(dataclasses.replace(term, block=index))
        add_merge(parts, path, block)

    def after_cut(self, block: nn.Module) -> None:
        """Fit the merge to the branches that are left."""
        close_merge(block)

    @staticmethod
    def argument(key: str, width: int) -> int:
        """Return the argument that means a width: the gate has as many channels."""
        return 2 * width if key == "cgmlp_linear_units" else width


class Branchformer(EBranchformer):
    """ESPnet's `branchformer`; one that averages by fixed weights may lack branches."""

    stock, pruned = "branchformer", "pruned_branchformer"
    block = BranchformerEncoderLayer
    has_rates = True

    def stock_conf(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> Optional[Dict[str, Any]]:
        """Return the arguments of the stock class; see `Family.stock_conf`."""
        found = super().stock_conf(conf, dense, kept)
        if found is None:
            return None
        position = [dense.kept_blocks.index(block) for block in kept.kept_blocks]
        for key in ("cgmlp_weight", "attn_branch_drop_rate"):
            if isinstance(found.get(key), (list, tuple)):
                found[key] = [found[key][i] for i in position]
        found.pop("layer_drop_rate", None)  # only our class takes it
        if _averages(conf):
            given = found.get("cgmlp_weight", 0.5)
            weights = given if isinstance(given, list) else [given] * len(position)
            found["cgmlp_weight"] = [
                float(weight) if attention and cgmlp else float(cgmlp)
                for weight, (attention, cgmlp) in zip(weights, _branches(conf, kept))
            ]
        return found

    def is_stock_shaped(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> bool:
        """Say whether the stock class can have a shape."""
        if not _averages(conf):
            return super().is_stock_shaped(conf, dense, kept)
        branches = _branches(conf, kept)
        if (False, False) in branches:
            return False
        # a block without a branch is one that gives it no weight
        position = [dense.kept_blocks.index(block) for block in kept.kept_blocks]
        blocks = dict(kept.blocks)
        if "attention_heads" in blocks:
            full = [dense.blocks["attention_heads"][i] for i in position]
            rows = zip(blocks["attention_heads"], full)
            blocks["attention_heads"] = [heads or own for heads, own in rows]
        width = max(blocks["cgmlp_units"])
        blocks["cgmlp_units"] = [n or width for n in blocks["cgmlp_units"]]
        if not width:
            del blocks["cgmlp_units"]
        whole = Stack(kept.kept_blocks, blocks, kept.front, {}, kept.price)
        return super().is_stock_shaped(conf, dense, whole)


def _averages(conf: Mapping[str, Any]) -> bool:
    both = conf.get("use_attn", True) and conf.get("use_cgmlp", True)
    return both and conf.get("merge_method", "concat") == "fixed_ave"


def _branches(conf: Mapping[str, Any], kept: Stack) -> List[Tuple[bool, bool]]:
    """Say for each block whether it has attention, and whether it has a cgMLP."""
    number = len(kept.kept_blocks)
    fast = conf.get("attention_layer_type") == "fast_selfattn"
    heads: Sequence[int] = kept.blocks.get("attention_heads", [int(fast)] * number)
    gates: Sequence[int] = kept.blocks.get("cgmlp_units", [0] * number)
    return [(h > 0, c > 0) for h, c in zip(heads, gates)]

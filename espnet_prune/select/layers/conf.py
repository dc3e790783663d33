# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""`layers_conf` of a selection: which search, on what, at what cost."""

import dataclasses
from typing import Any, Mapping, Optional

from espnet_prune.runtime.reader import read_as
from espnet_prune.utils import UserError, check_keys

# by error rate; greedy is the name that backward elimination has in CoMFLP's code
BY_ERROR = ("comflp", "iterative", "greedy", "nested", "sensitivity", "exhaustive")
OF_DEPTHS = ("iterative", "greedy", "nested")  # which go through all depths
BY_RULE = ("truncate", "alternate", "random")
COARSE = ("exact", "beam", "exhaustive", "random")
CHOICES = {
    "search": BY_ERROR + BY_RULE,
    "coarse": COARSE,
    "metric": ("wer", "cer"),
    "measure": ("svcca", "cka", "dc", "dc2"),
    "mode": ("utterance", "frame"),
}


@dataclasses.dataclass(frozen=True)
class LayersConf:
    """Which search, and how.

    Attributes:
        search: One of `BY_ERROR` or `BY_RULE`.
        coarse: How comflp proposes candidates: "exact" (the K best of the matrix),
            "beam" (as published), "exhaustive", or "random" (a baseline).
        top_k: Candidates of the coarse search.
        beam: Width of the beam.
        refine: Whether comflp tries swaps around its best candidate.
        max_evaluations: Evaluations of comflp with refine, in all.
        forbid_adjacent: Whether sensitivity avoids neighbours.
        depth_table: Whether to write the depths that the search went through.
        matrix: File with the similarity matrix; absent: it is measured.
        measure: How layers are compared: "svcca", "cka", "dc" or "dc2".
        mode: Samples are means over an "utterance", or every "frame".
        num_utts: Training utterances that are compared.
        metric: "wer" or "cer" of greedy CTC, or of a greedy attention decoder.
        max_utts: Development utterances that judge.
        cache_gb: Memory for hidden states.
    """

    search: str = "comflp"
    coarse: str = "exact"
    top_k: int = 10
    beam: int = 10
    refine: bool = True
    max_evaluations: int = 12
    forbid_adjacent: bool = False
    depth_table: bool = False
    matrix: Optional[str] = None
    measure: str = "svcca"
    mode: str = "frame"
    num_utts: int = 320
    metric: str = "wer"
    max_utts: int = 320
    cache_gb: float = 2.0

    @classmethod
    def from_dict(cls, data: Optional[Mapping[str, Any]]) -> "LayersConf":
        """Check and build.

        Raises:
            UserError: An unknown key or choice, a number that is not positive, or a
                depth table from a search that goes through no depths.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        conf = cls(**read_as(cls, data, "layers_conf"))
        for name, choices in CHOICES.items():
            check_keys([getattr(conf, name)], choices, f"layers_conf: {name}")
        for name, field in fields.items():
            value = getattr(conf, name)
            if field.type in (int, "int") and value <= 0:
                raise UserError(f"layers_conf: {name} is {value}, must be above 0")
        if not conf.cache_gb >= 0:
            raise UserError(
                f"layers_conf: cache_gb is {conf.cache_gb}, must be 0 or more"
            )
        if conf.depth_table and conf.search not in OF_DEPTHS:
            raise UserError(
                f"layers_conf: search {conf.search} gives no depth_table; use iterative"
            )
        return conf

    @property
    def needs_data(self) -> bool:
        """Whether development speech is needed."""
        return self.search in BY_ERROR

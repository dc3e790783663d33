# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""`obs_conf` of a selection: on what it calibrates, and in how many rounds."""

import dataclasses
from typing import Any, List, Mapping, Optional

from espnet_prune.runtime.reader import read_as
from espnet_prune.select.obs.removal import DAMPING
from espnet_prune.utils import UserError


@dataclasses.dataclass(frozen=True)
class ObsConf:
    """How to calibrate.

    Attributes:
        num_utts: Utterances.
        labels: Whether transcripts count, instead of the dense model's own output.
        rounds: Sparsities at which to calibrate anew, rising; by default nowhere, which
            was no worse in what was measured.
        powers: Scalings of the error curves that are tried, see `RemovalPath.go`.
        damping: Share of the mean second moment that is added to it.
    """

    num_utts: int = 300
    labels: bool = False
    rounds: List[float] = dataclasses.field(default_factory=list)
    powers: List[float] = dataclasses.field(default_factory=lambda: [0.0, 0.25, 0.5])
    damping: float = DAMPING

    @classmethod
    def from_dict(cls, data: Optional[Mapping[str, Any]]) -> "ObsConf":
        """Check and build.

        Raises:
            UserError: An unknown key, a value of another type, or out of its range.
        """
        conf = cls(**read_as(cls, data, "obs_conf"))
        if conf.num_utts < 1:
            raise UserError(f"obs_conf: num_utts is {conf.num_utts}, must be above 0")
        given = conf.rounds
        if sorted(set(given)) != list(given) or not all(0 < r < 1 for r in given):
            raise UserError(
                f"obs_conf: rounds {given} must be rising shares that are removed, "
                "such as [0.3, 0.5]"
            )
        if not conf.damping > 0:
            raise UserError(f"obs_conf: damping is {conf.damping}, must be above 0")
        if not conf.powers or not all(0 <= power <= 1 for power in conf.powers):
            raise UserError(
                f"obs_conf: powers {list(conf.powers)} must be numbers from 0 to 1"
            )
        return conf

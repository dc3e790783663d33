# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What may stand under `budget:` of a configuration: a target, and how it is read."""

import dataclasses
import math
from typing import Any, Dict, List, Mapping, Optional

from espnet_prune.measure.cost import BEFORE, MODEL, PARTS, WHOLE, covers
from espnet_prune.measure.duration import SECONDS
from espnet_prune.measure.latency_table import RUNTIMES, TORCH
from espnet_prune.measure.prices import Kind, kinds
from espnet_prune.structure import FRONT_SSL
from espnet_prune.utils import UserError, check_keys

OF = (WHOLE, FRONT_SSL, "decoder", "joint", MODEL)
DEVICE = ("runtime", "threads", "latency")  # keys of kinds that are measured


@dataclasses.dataclass(frozen=True)
class Target:
    """How much of one cost has to go.

    Attributes:
        kind: "params", "macs" or another of `espnet_prune.measure.prices`.
        sparsity: Share of the dense cost that is removed, 0 to 1.
        frames: Length in input frames at which MACs are counted and milliseconds
            measured; see `with_frames`. Parameters do not depend on it.
        part: "front", "blocks", "encoder" for both, another of `OF`.
        limit: What may stay, where it was given instead of a share; `Budget.resolved`
            makes it a sparsity.
        runtime: What runs the encoder, where milliseconds are bounded.
        threads: How many threads it uses then.
        latency: File of the table of milliseconds, "" if it is made.
    """

    kind: str = "params"
    sparsity: float = 0.5
    frames: int = 1000
    part: str = WHOLE
    limit: Optional[float] = None
    runtime: str = TORCH
    threads: int = 1
    latency: str = ""

    def __str__(self) -> str:
        words = f"sparsity {self.sparsity:.4g} of {self.kind}"
        if self.limit is not None:
            words = f"limit {self.limit:g} of {self.kind}"
        if self.part == WHOLE:
            return words
        return f"{words} of the {self.part}{' part' * (self.part in PARTS)}"

    @property
    def price(self) -> Kind:
        """What its kind says of itself."""
        return kinds()[self.kind]

    def covers(self, part: str) -> bool:
        """Say whether units of a part count."""
        return covers(self.part, part)

    def conf(self) -> Dict[str, Any]:
        """Return the target as a configuration writes it."""
        own: Dict[str, Any] = {"kind": self.kind, "frames": self.frames}
        if self.price.device:
            own.update({key: getattr(self, key) for key in DEVICE if key != "latency"})
            own.update({"latency": self.latency} if self.latency else {})
        if self.part in PARTS:
            return {**own, self.part: self.sparsity}
        own.update({} if self.part == WHOLE else {"of": self.part})
        if self.limit is not None:
            return {**own, "limit": self.limit}
        return {**own, "sparsity": self.sparsity}


def with_frames(conf: Any, frames: int) -> Any:
    """Return `budget:` of a configuration with its length where it says none.

    Args:
        conf: Any form of it; what is none is left to `Budget.from_conf`.
        frames: Input frames of 10 s in the model at hand, see `frames_of`. Without this
            step a budget counts 1000 frames, which are 10 s at a hop of 10 ms.
    """
    if isinstance(conf, (list, tuple)):
        return [with_frames(entry, frames) for entry in conf]
    if not isinstance(conf, Mapping) or not conf:
        return conf
    seconds = conf.get("seconds", SECONDS)
    if "frames" in conf or not _is_number(seconds):
        return {"frames": frames, **conf}
    own = {key: value for key, value in conf.items() if key != "seconds"}
    return {"frames": round(frames * seconds / SECONDS), **own}


def read_targets(conf: Any) -> List[Target]:
    """Return the targets of one entry of `budget:`.

    Raises:
        UserError: See `Budget.from_conf`.
    """
    if not isinstance(conf, Mapping):
        raise UserError(
            f"budget: {conf!r} is not a mapping such as {{kind: params, sparsity: 0.5}}"
        )
    kind = conf.get("kind", "params")
    if kind not in tuple(kinds()):
        raise UserError(f"budget: kind '{kind}' is not one of {tuple(kinds())}")
    device = kinds()[kind].device
    known = ("kind", "of", "sparsity", "limit", "frames", "seconds", *PARTS, *BEFORE)
    check_keys(conf, (*known, *(DEVICE if device else ())), "budget")
    own = dict(frames=_frames(conf), **(_device(conf) if device else {}))
    of = conf.get("of", WHOLE)
    if of not in OF:
        raise UserError(f"budget: of '{of}' is not one of {OF}")
    if device and of != WHOLE:
        raise UserError(
            f"budget: {kind} are those of the encoder, and those of the {of} are not "
            f"measured; leave of: {of} out"
        )
    shares = {part: conf[part] for part in (*PARTS, *BEFORE) if part in conf}
    if shares and of != WHOLE:
        raise UserError(
            f"budget: {min(shares)} is a part of the encoder; leave of: {of} out, or "
            "give a list of both"
        )
    asked = [key for key in ("sparsity", "limit") if key in conf]
    if shares and asked:
        raise UserError(
            f"budget: {asked[0]} is that of the whole encoder and {min(shares)} that "
            "of a part; give one or the other, or a list of both"
        )
    if asked == ["limit"]:
        limit = conf["limit"]
        if not _is_number(limit) or not 0 < limit < math.inf:
            raise UserError(f"budget: limit {limit!r} must be a number above 0")
        return [Target(kind, 0.0, part=of, limit=float(limit), **own)]
    if asked == ["sparsity", "limit"]:
        raise UserError("budget: sparsity and limit say the same; give one of them")
    shares = shares or {"sparsity": conf.get("sparsity", 0.5)}
    for key, share in shares.items():
        if not isinstance(share, float) or not 0 < share < 1:
            raise UserError(
                f"budget: {key} {share!r} must be a number between 0 and 1, such as "
                "0.5 to remove half"
            )
    parts = {key: of if key == "sparsity" else BEFORE.get(key, key) for key in shares}
    return [Target(kind, shares[key], part=parts[key], **own) for key in shares]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _frames(conf: Mapping[str, Any]) -> int:
    """Return the length that an entry is about."""
    if "frames" in conf and "seconds" in conf:
        raise UserError("budget: frames and seconds say the same; give one of them")
    seconds = conf.get("seconds", SECONDS)
    if not _is_number(seconds) or not 0.2 <= seconds < 3600:
        raise UserError(f"budget: seconds {seconds!r} must be a length such as 10")
    frames = conf.get("frames", round(100 * seconds))
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 20:
        raise UserError(f"budget: frames {frames!r} must be at least 20")
    return frames


def _device(conf: Mapping[str, Any]) -> Dict[str, Any]:
    """Return where the milliseconds of an entry are spent."""
    runtime, threads = conf.get("runtime", TORCH), conf.get("threads", 1)
    if runtime not in RUNTIMES:
        raise UserError(
            f"budget: runtime {runtime!r} is not one of {', '.join(RUNTIMES)}"
        )
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UserError(f"budget: threads {threads!r} must be a positive number")
    latency = conf.get("latency") or ""
    if not isinstance(latency, str):
        raise UserError(f"budget: latency {latency!r} must be the path of a table")
    return {"runtime": runtime, "threads": threads, "latency": latency}

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is to remain of an encoder, in a word: 50%macs, 40ms, 800kparams."""

import dataclasses
import re
from typing import Any, Dict

from espnet_prune.utils import UserError

FORMS = "50%macs, 30%params, 50%ms, 40ms, 800kparams, 1.2Mparams, 2Gmacs"
KINDS = ("params", "macs", "ms")
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_FORM = re.compile(rf"(\d+(?:\.\d+)?|\.\d+)\s*(%|[kmg]?)\s*({'|'.join(KINDS)})", re.I)


@dataclasses.dataclass(frozen=True)
class Target:
    """How much of an encoder is to remain.

    Attributes:
        text: As it was given.
        kind: "params", "macs" or "ms".
        amount: A share of the dense encoder from 0 to 1, or an amount.
        relative: Whether it is a share.
    """

    text: str
    kind: str
    amount: float
    relative: bool

    @property
    def budget(self) -> Dict[str, Any]:
        """The budget of a configuration."""
        if self.relative:
            return {"kind": self.kind, "sparsity": round(1.0 - self.amount, 6)}
        return {"kind": self.kind, "limit": self.amount}


def parse_target(text: str) -> Target:
    """Read a target.

    Raises:
        UserError: It is none; the forms are told.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise UserError(
            f"--target {text}: say what is to remain of the encoder, as one of {FORMS}"
        )
    number, unit, kind = float(found[1]), found[2].lower(), found[3].lower()
    if kind == "ms" and unit not in ("", "%") or kind != "ms" and not unit:
        forms = [f for f in FORMS.split(", ") if f.lstrip("0123456789.%kMG") == kind]
        raise UserError(
            f"--target {text}: {kind} are given as one of {', '.join(forms)}"
        )
    if unit != "%":
        if not number:
            raise UserError(f"--target {text}: must be more than nothing")
        return Target(text, kind, number * _UNITS[unit], False)
    if not 0 < number < 100:
        raise UserError(
            f"--target {text}: what remains is more than 0 and less than 100 percent"
        )
    return Target(text, kind, number / 100, True)

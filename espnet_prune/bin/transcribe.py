#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transcribe audio by a deployed model, without PyTorch."""

from espnet_prune.runtime.command import get_parser, main
from espnet_prune.utils import run_main

__all__ = ["get_parser", "main"]

if __name__ == "__main__":
    run_main(main)

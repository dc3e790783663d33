#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# usage: local/compare.sh [conf/compare_X.yaml] [--option value ...], see --help
set -euo pipefail

. ./path.sh
case "${1:-}" in *.yaml) ;; *) set -- conf/compare.yaml "$@" ;; esac
exec python3 -m espnet_prune.bin.compare "$@"

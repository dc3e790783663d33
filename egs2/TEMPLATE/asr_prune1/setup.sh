#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# usage: setup.sh egs2/CORPUS/asr_prune1    make a recipe's directory, linked to this one
set -euo pipefail

if [ $# -ne 1 ]; then
    sed -n 's/^# usage/usage/p' "$0" >&2
    exit 2
fi
mkdir -p "$1/conf" "$1/local"
for name in prune.sh path.sh scripts; do
    ln -sfnr "$(dirname "$0")/${name}" "$1/${name}"
done

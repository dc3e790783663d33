#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# What egs2/*/asr_prune1 needs. ESPnet and PyTorch stay as they are.
set -euo pipefail

if [ $# -gt 1 ]; then
    echo "Usage: $0 [SOURCE]"
    echo "SOURCE: a folder, a wheel or git+https://...; default: the latest release on PyPI"
    exit 1
fi

package="espnet_prune[recipe,report]"
case "${1:-}" in
    "") requirement=${package} ;;
    *://*) requirement="${package} @ $1" ;;
    *)
        if [ ! -e "$1" ]; then
            echo "[ERROR] $1 is neither a folder, a wheel nor a URL"
            exit 1
        fi
        requirement="$(realpath "$1")[recipe,report]" ;;
esac
python3 -m pip install "${requirement}"
python3 -c "import espnet_prune; print('[INFO] espnet_prune', espnet_prune.__version__)"

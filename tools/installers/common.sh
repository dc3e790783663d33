# shellcheck shell=bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Sourced by the installers. Each takes the environment's folder as first argument.
set -euo pipefail

TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# ESPnet prints long warnings about its own future; installers need none of them.
export PYTHONWARNINGS=ignore PIP_DISABLE_PIP_VERSION_CHECK=1

log() { echo "[install] $*" >&2; }
die() {
    echo "espnet_prune: error: $*" >&2
    exit 2
}

use_env() {
    VENV=$1
    PY=${VENV}/bin/python
    # shellcheck disable=SC2034  # read by the scripts that source this file
    MADE_HERE=${VENV}/.espnet_prune/made_here # this environment is ours to pin
    [ -x "${PY}" ] || die "there is no Python in ${VENV}/bin; run 'make -C tools' first"
}

# Version of an installed distribution, or nothing.
version_of() {
    "${PY}" - "$1" <<'EOF'
import importlib.metadata
import sys

try:
    print(importlib.metadata.version(sys.argv[1]))
except importlib.metadata.PackageNotFoundError:
    pass
EOF
}

# Environments made here with Python 3.11 get every pin; others only what is missing.
is_pinned() {
    [ -e "${MADE_HERE}" ] &&
        [ "$("${PY}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = 3.11 ]
}

pip_install() {
    local constraints=()
    if is_pinned; then
        constraints=(-c "${TOOLS}/requirements/constraints.txt")
    fi
    "${PY}" -m pip install --quiet ${constraints[@]+"${constraints[@]}"} "$@"
}

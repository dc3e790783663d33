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

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# There are two lines of ESPnet. Up to 202511 its requirements cannot be met beside a
# new torch, and what its ASR imports is listed here; from 202609 on pip meets them.
# shellcheck disable=SC2034  # read by setup_venv.sh
PYTHONS="espnet 202511 needs Python 3.9, 3.10 or 3.11, espnet 202611 needs 3.12 or 3.13"
line_for() { # of a version of Python, or nothing
    case $1 in
        3.9 | 3.10 | 3.11) echo 202511 ;;
        3.12 | 3.13) echo 202611 ;;
    esac
}

# The line of the environment: that of its ESPnet, or else that of its Python.
line_here() {
    local release
    release=$(version_of espnet)
    release=${release%%[!0-9]*}
    if [ -z "${release}" ]; then
        line_for "$(python_version "${PY}")"
    elif [ "${release}" -ge 202609 ]; then
        echo 202611
    else
        echo 202511
    fi
}

# The file of a list of requirements: NAME-LINE.txt where the lines differ.
requirements_file() {
    local file
    file=${TOOLS}/requirements/$1-$(line_here).txt
    if [ -e "${file}" ]; then echo "${file}"; else echo "${TOOLS}/requirements/$1.txt"; fi
}

# Environments made here with these get every pin; others only what is missing.
is_pinned() {
    [ -e "${MADE_HERE}" ] || return 1
    case $(python_version "${PY}") in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac
}

pip_install() {
    local constraints=()
    if is_pinned; then
        constraints=(-c "$(requirements_file constraints)")
    fi
    "${PY}" -m pip install --quiet ${constraints[@]+"${constraints[@]}"} "$@"
}

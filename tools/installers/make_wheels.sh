#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Collects wheels of all that is installed, for a machine without network:
#   there: PIP_NO_INDEX=1 PIP_FIND_LINKS=<folder> make -C tools
# Usage: make_wheels.sh <environment> <folder>
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_env "${1:?usage: make_wheels.sh <environment> <folder>}"
folder=${2:?usage: make_wheels.sh <environment> <folder>}

list=$(mktemp)
trap 'rm -f "${list}"' EXIT
"${PY}" -m pip freeze --all --exclude-editable >"${list}"
mkdir -p "${folder}"
index=()
if grep -q '^torch==.*+cpu' "${list}" && [ -z "${PIP_NO_INDEX:-}" ]; then
    index=(--extra-index-url https://download.pytorch.org/whl/cpu)
fi
isolation=()
if [ "$(line_here)" = 202511 ]; then isolation=(--no-build-isolation); fi
make_wheels() {
    "${PY}" -m pip wheel --quiet --no-deps ${isolation[@]+"${isolation[@]}"} \
        --wheel-dir "${folder}" --requirement "${list}" "$@"
}
make_wheels || make_wheels ${index[@]+"${index[@]}"}
log "$(find "${folder}" -name '*.whl' | wc -l) wheels in ${folder}"

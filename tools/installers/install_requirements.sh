#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Installs the packages of lists of requirements and never replaces torch.
# Usage: install_requirements.sh <environment> <name>...
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_env "${1:?usage: install_requirements.sh <environment> <name>...}"
shift

files=()
for name in "$@"; do files+=("$(requirements_file "${name}")"); done

# editdistance has wheels for some versions of Python only.
need_compiler() {
    local wanted=$1 python
    if "${PY}" -m pip download --quiet --no-deps --only-binary :all: \
        --dest "${work}/wheel" "${wanted}" >/dev/null 2>&1; then return; fi
    python=$(python_version "${PY}")
    if ! "${PY}" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' ||
        ! command -v g++ >/dev/null; then
        die "${wanted} has no wheel for Python ${python} and is compiled here, which needs" \
            "Python.h and g++ (Debian and Ubuntu: apt install python3-dev g++)"
    fi
}

work=$(mktemp -d)
trap 'rm -rf "${work}"' EXIT
for name in torch torchaudio; do
    version=$(version_of "${name}")
    [ -z "${version}" ] || echo "${name}==${version}" >>"${work}/keep.txt"
done
options=()
[ -e "${MADE_HERE}" ] || options+=(--keep-installed)
is_pinned || options+=(--no-pins)
"${PY}" "${TOOLS}/installers/pick_requirements.py" ${options[@]+"${options[@]}"} \
    "${files[@]}" >"${work}/wanted.txt"
if [ -s "${work}/wanted.txt" ]; then
    log "installing $(wc -l <"${work}/wanted.txt") packages of $(basename -a "${files[@]}" | xargs)"
    touch "${work}/keep.txt"
    isolation=()
    if [ "$(line_here)" = 202511 ]; then
        # Some of these have a source archive only; building without isolation needs
        # nothing but the setuptools and wheel that are there.
        isolation=(--no-build-isolation)
    fi
    distance=$(grep '^editdistance' "${work}/wanted.txt" || true)
    [ -z "${distance}" ] || need_compiler "${distance}"
    pip_install ${isolation[@]+"${isolation[@]}"} -c "${work}/keep.txt" -r "${work}/wanted.txt"
fi

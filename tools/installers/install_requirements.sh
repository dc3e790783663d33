#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Installs the packages of requirements files and never replaces torch.
# Usage: install_requirements.sh <environment> <file>...
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_env "${1:?usage: install_requirements.sh <environment> <file>...}"
shift

work=$(mktemp -d)
trap 'rm -rf "${work}"' EXIT
for name in torch torchaudio; do
    version=$(version_of "${name}")
    [ -z "${version}" ] || echo "${name}==${version}" >>"${work}/keep.txt"
done
options=()
[ -e "${MADE_HERE}" ] || options+=(--keep-installed)
is_pinned || options+=(--no-pins)
"${PY}" "${TOOLS}/installers/pick_requirements.py" ${options[@]+"${options[@]}"} "$@" \
    >"${work}/wanted.txt"
if [ -s "${work}/wanted.txt" ]; then
    log "installing $(wc -l <"${work}/wanted.txt") packages of $(basename -a "$@" | xargs)"
    touch "${work}/keep.txt"
    # Some of these have a source archive only; building without isolation needs
    # nothing but the setuptools and wheel that are there.
    pip_install --no-build-isolation -c "${work}/keep.txt" -r "${work}/wanted.txt"
fi

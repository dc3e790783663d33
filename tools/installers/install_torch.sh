#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Installs torch and the torchaudio that goes with it. Comes before everything else:
# any other package that wants torch then finds it, instead of fetching CUDA libraries.
# Usage: install_torch.sh <environment>
# Environment: TORCH_VERSION, TORCHAUDIO_VERSION, TORCH_VARIANT=auto|cpu|cuda
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_env "${1:?usage: install_torch.sh <environment>}"

CPU_INDEX=https://download.pytorch.org/whl/cpu
variant=${TORCH_VARIANT:-auto}
if [ "${variant}" = auto ]; then
    variant=cpu
    if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
        variant=cuda
    fi
fi
case ${variant} in cpu | cuda) ;; *) die "TORCH_VARIANT must be auto, cpu or cuda" ;; esac

# A plain name gives the CUDA build on PyPI, so without a GPU the CPU build is asked
# for by name: in the wheel folder or index that pip knows, then on PyTorch's own.
install_wheel() {
    local name=$1 version=$2
    shift 2
    if [ "${variant}" = cpu ] && [ "$(uname -s)" = Linux ]; then
        pip_install "$@" "${name}==${version}+cpu" 2>/dev/null && return
        if [ -z "${PIP_NO_INDEX:-}" ] && index_answers; then
            pip_install "$@" --extra-index-url "${CPU_INDEX}" "${name}==${version}+cpu" \
                2>/dev/null && return
        fi
        local size=""
        if [ "${name}" = torch ]; then
            size=" with CUDA, a download of about 2.6 GB and 4.7 GB on disk"
        fi
        log "no CPU build of ${name} ${version} found; taking the general one${size}"
    fi
    pip_install "$@" "${name}==${version}"
}

index_answers() {
    "${PY}" - "${CPU_INDEX}/torch/" <<'EOF' 2>/dev/null
import sys
import urllib.request

urllib.request.urlopen(sys.argv[1], timeout=10).close()
EOF
}

torch=$(version_of torch)
if [ -n "${torch}" ]; then
    log "keeping torch ${torch}"
else
    default=2.13.0
    "${PY}" -c 'import sys; sys.exit(sys.version_info >= (3, 10))' && default=2.8.0
    log "installing torch ${TORCH_VERSION:-${default}} (${variant})"
    install_wheel torch "${TORCH_VERSION:-${default}}"
    torch=$(version_of torch)
fi

# torchaudio has a release per torch release up to 2.11.0, which is its last.
audio=${TORCHAUDIO_VERSION:-$("${PY}" - "${torch}" <<'EOF'
import sys

release = sys.argv[1].split("+")[0]
old = tuple(int(x) for x in release.split(".")[:2]) <= (2, 11)
print(release if old else "2.11.0")
EOF
)}
if [ -z "$(version_of torchaudio)" ]; then
    log "installing torchaudio ${audio}"
    install_wheel torchaudio "${audio}" --no-deps
fi
"${PY}" "${TOOLS}/installers/fix_torchaudio.py"
log "torch $(version_of torch), torchaudio $(version_of torchaudio)"

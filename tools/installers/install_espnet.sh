#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Installs ESPnet: up to 202511 without its requirements (requirements/asr-202511.txt has
# those that its ASR code imports), because it asks for setuptools<74 and torch 2.13 for
# >=77; newer releases with theirs.
# Usage: install_espnet.sh <environment>
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
use_env "${1:?usage: install_espnet.sh <environment>}"

line=$(line_here)
ESPNET_VERSION=${ESPNET_VERSION:-${line}}
CI_SDR_VERSION=0.0.2

installed=$(version_of espnet)
if [ -n "${installed}" ] && [ ! -e "${MADE_HERE}" ]; then
    log "keeping espnet ${installed}"
elif [ "${installed}" != "${ESPNET_VERSION}" ]; then
    log "installing espnet ${ESPNET_VERSION}"
    if [ "${line}" = 202511 ]; then
        pip_install --no-deps --no-build-isolation "espnet==${ESPNET_VERSION}"
    else
        torch=$(version_of torch)
        case ${torch} in
            2.11.* | 2.13.* | 2.14.*) ;;
            *) die "espnet ${ESPNET_VERSION} needs torch 2.11, 2.13 or 2.14, and there is" \
                "torch ${torch} in ${VENV}; say TORCH_VERSION=2.13.0 in a new environment" ;;
        esac
        pip_install "espnet==${ESPNET_VERSION}" "torch==${torch}" \
            "torchaudio==$(version_of torchaudio)"
    fi
fi
[ "${line}" = 202511 ] || exit 0

# espnet2.bin.asr_inference imports ci_sdr through the enhancement task. Its metadata
# names requirements by URL in an extra, which pip 26 refuses even with --no-deps;
# pip 25 ignores extras that nobody asks for, and a wheel of pip runs from its file.
install_ci_sdr() {
    local want=(--no-deps --no-build-isolation "ci_sdr==${CI_SDR_VERSION}")
    local major folder
    major=$(version_of pip | cut -d. -f1)
    if [ "${major:-0}" -lt 26 ]; then
        pip_install "${want[@]}"
        return
    fi
    folder=$(mktemp -d)
    "${PY}" -m pip download --quiet --no-deps --dest "${folder}" 'pip==25.3'
    "${PY}" "${folder}/pip-25.3-py3-none-any.whl/pip" install --quiet "${want[@]}"
    rm -rf "${folder}"
}
[ -n "$(version_of ci_sdr)" ] || install_ci_sdr

"${PY}" "${TOOLS}/installers/seed_nltk.py"

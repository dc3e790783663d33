#!/usr/bin/env bash
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Makes a virtual environment, or accepts the one that is there.
# Usage: setup_venv.sh <environment> [<python>]
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PIP_VERSION=25.3 # 26 refuses ci_sdr: install_espnet.sh
SETUPTOOLS_VERSION=80.10.2
WHEEL_VERSION=0.48.0

venv=${1:?usage: setup_venv.sh <environment> [<python>]}
asked=${2:-python3}

is_supported() { [ -n "$(line_for "$1")" ]; }

if [ -x "${venv}/bin/python" ]; then
    use_env "${venv}"
    version=$(python_version "${PY}") || die "${PY} does not start"
    # A newer ESPnet that somebody installed before us brings its own range.
    if [ -z "$(version_of espnet)" ] && ! is_supported "${version}"; then
        die "${PYTHONS}, but ${PY} is Python ${version}; name another environment" \
            "with VENV=/path"
    fi
    [ -e "${MADE_HERE}" ] || log "using the existing environment ${venv} (Python ${version})"
else
    if [ -e "${venv}" ] && [ ! -e "${venv}/.espnet_prune" ] &&
        [ -n "$(ls -A "${venv}" 2>/dev/null)" ]; then
        die "${venv} exists and is not a Python environment; name another with VENV=/path"
    fi
    chosen=
    candidates=("${asked}")
    # Where python3 is too new or too old, a suitable one is often installed beside it.
    [ "${asked}" != python3 ] ||
        candidates+=(python3.13 python3.12 python3.11 python3.10 python3.9)
    for python in "${candidates[@]}"; do
        if is_supported "$(python_version "${python}")"; then
            chosen=${python}
            break
        fi
    done
    if [ -z "${chosen}" ]; then
        version=$(python_version "${asked}") || die "cannot run '${asked}'; say" \
            "make PYTHON=/path/to/python3.13"
        die "${PYTHONS}, but ${asked} is Python ${version}; say make" \
            "PYTHON=/path/to/python3.13"
    fi
    log "making ${venv} with ${chosen} (Python $(python_version "${chosen}"))"
    mkdir -p "${venv}/.espnet_prune"
    touch "${venv}/.espnet_prune/made_here"
    "${chosen}" -m venv "${venv}" >&2 || "${chosen}" -m virtualenv "${venv}" >&2 ||
        die "'${chosen} -m venv' failed; on Debian and Ubuntu: apt install python3-venv"
    use_env "${venv}"
fi

case $(python_version "${PY}") in
    3.11 | 3.12 | 3.13) ;;
    *) log "the pinned versions are for Python 3.11, 3.12 and 3.13; here the newest that" \
        "fit are taken, which is not tested" ;;
esac
if [ -e "${MADE_HERE}" ]; then
    pip_install "pip==${PIP_VERSION}" "setuptools==${SETUPTOOLS_VERSION}" \
        "wheel==${WHEEL_VERSION}"
else
    "${PY}" -m pip --version >/dev/null 2>&1 || die "${PY} has no pip"
    [ -n "$(version_of setuptools)" ] || pip_install "setuptools>=77.0.3"
    [ -n "$(version_of wheel)" ] || pip_install wheel
fi
mkdir -p "${venv}/.espnet_prune"

# shellcheck shell=bash
# Sourced by the recipes' path.sh: puts the environment that make prepared first on
# PATH. An environment named in ESPNET_PRUNE_VENV goes before the one of the last make;
# without any it is that of the checkout of ESPnet.
_tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
_venv=${ESPNET_PRUNE_VENV:-}
if [ -z "${_venv}" ] && [ -f "${_tools}/.venv_path" ]; then
    _venv=$(cat "${_tools}/.venv_path")
fi
_venv=${_venv:-${_tools}/venv}
if [ -x "${_venv}/bin/python" ]; then
    export PATH="${_venv}/bin:${PATH}"
    [ -d "${_venv}/conda-meta" ] || export VIRTUAL_ENV="${_venv}"
elif [ -f "${ESPNET_ROOT:-${_tools}/espnet}/tools/activate_python.sh" ]; then
    . "${ESPNET_ROOT:-${_tools}/espnet}/tools/activate_python.sh"
fi
unset _tools _venv

# shellcheck shell=bash
# Sourced by the recipes' path.sh, ours and ESPnet's: optional programs, where they are
# installed here or in the checkout of ESPnet.
_tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for _root in "${ESPNET_ROOT:-${_tools}/espnet}/tools" "${_tools}"; do
    for _dir in sctk/bin sph2pipe kenlm/build/bin sentencepiece_commands; do
        if [ -d "${_root}/${_dir}" ]; then
            export PATH="${_root}/${_dir}:${PATH}"
        fi
    done
done
unset _tools _root _dir

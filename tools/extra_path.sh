# shellcheck shell=bash
# Sourced by the recipes' path.sh: optional programs, where they are installed.
_tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for _dir in sctk/bin sph2pipe kenlm/build/bin sentencepiece_commands \
    espnet/tools/sctk/bin espnet/tools/sph2pipe espnet/tools/sentencepiece_commands; do
    if [ -d "${_tools}/${_dir}" ]; then
        export PATH="${_tools}/${_dir}:${PATH}"
    fi
done
unset _tools _dir

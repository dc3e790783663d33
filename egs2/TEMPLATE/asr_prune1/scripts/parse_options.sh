#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# To be sourced. The options of a script are its lines between "# options" and
# "# end of options", one each: name=default  # help. Names may be written with
# '-' or '_'. An unknown name ends the script with exit code 2 and the nearest name;
# a default of true or false, or an integer, allows only such values.

_die() {
    echo "$(basename "$0"): error: $*" >&2
    exit 2
}

_lines=$(sed -n '/^# options/,/^# end of options/p' "$0" | grep -E '^[a-z_]+=')
_names=$(sed 's/=.*//' <<< "${_lines}")

while [ $# -gt 0 ]; do
    case "$1" in
        --help | -h)
            sed -n '/^# usage/,/^$/s/^# \{0,1\}//p' "$0"
            echo "Options and their defaults:"
            sed -E 's/^([a-z_]+)=([^#]*[^# ]|) *(# *(.*))?$/\1|\2|\4/' <<< "${_lines}" |
                while IFS='|' read -r name default text; do
                    printf '  --%-22s %s\n' "${name} ${default}" "${text}"
                done
            exit 0 ;;
        --*)
            _name=${1#--}
            _name=${_name//-/_}
            if ! grep -qx -- "${_name}" <<< "${_names}"; then
                _near=$(python3 -c 'import difflib, sys
print(*difflib.get_close_matches(sys.argv[1], sys.argv[2:], 1, 0.0))' \
                    "${_name}" ${_names} 2> /dev/null) || true
                _die "unknown option '$1'${_near:+, the nearest is --${_near}}"
            fi
            [ $# -ge 2 ] || _die "option $1 needs a value"
            if [[ "${!_name}" =~ ^(true|false)$ ]] && ! [[ "$2" =~ ^(true|false)$ ]]; then
                _die "option $1 takes true or false, not '$2'"
            elif [[ "${!_name}" =~ ^[0-9]+$ ]] && ! [[ "$2" =~ ^[0-9]+$ ]]; then
                _die "option $1 takes a number, not '$2'"
            fi
            printf -v "${_name}" '%s' "$2"
            shift 2 ;;
        *) _die "unexpected argument '$1' (options are --name value)" ;;
    esac
done
unset _lines _names _name _near

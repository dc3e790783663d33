#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# To be sourced: which stages run, and which are finished. A stage that has ended well
# leaves DIR/.done_stageN with a hash of all that its result depends on.

log() {
    local fname=${BASH_SOURCE[1]##*/}
    echo -e "$(date '+%Y-%m-%dT%H:%M:%S') (${fname}:${BASH_LINENO[0]}:${FUNCNAME[1]}) $*"
}

words() { # STRING: _words: the words in it, with quotes as in a shell
    local lines
    _words=()
    [[ "$1" =~ [^[:space:]] ]] || return 0
    lines=$(xargs -n 1 printf '%s\n' <<< "$1") || _die "'$1' has a quote that is not closed"
    mapfile -t _words <<< "${lines}"
}

# shellcheck disable=SC2154  # stage, dense_exp and so on are options
wanted() { # STAGE: is it to be run?
    [ "$1" -ge "${stage}" ] && [ "$1" -le "${stop_stage}" ] &&
        [[ " ${skip_stages} " != *" $1 "* ]]
}

any_wanted() { # STAGE...: is one of them to be run?
    local n
    for n in "$@"; do
        if wanted "${n}"; then return 0; fi
    done
    return 1
}

# DIR/.lock says who works in DIR: "PID HOST". The kernel holds the lock as long as this
# script or a job of it lives; where another host's locks are not seen, its name is.
declare -A _locks=()

# shellcheck disable=SC2093,SC2094
lock() { # DIR [wait]: take it, or end and say who has it
    local file=$1/.lock fd owner=
    [ -z "${_locks[$1]:-}" ] || return 0
    { mkdir -p "$1" && : >> "${file}"; } ||
        _die "$1 cannot be written: give another directory, or make room there"
    command -v flock > /dev/null || return 0
    exec {fd}>> "${file}"
    if ! flock -n "${fd}"; then
        owner=$(cat "${file}")
        [ "${2:-}" = wait ] || _in_use "$1" "${owner}"
        log "$1 is in use by process ${owner}: waiting for it"
        flock "${fd}"
    fi
    owner=$(cat "${file}")
    if [ -n "${owner}" ] && [ "${owner#* }" != "$(hostname)" ]; then
        _in_use "$1" "${owner}"
    elif [ -n "${owner}" ]; then
        log "Process ${owner} died while it worked in $1: going on from there"
        # what it was writing; a folder with a lock of its own is another's
        find "$1" -mindepth 1 -type d -exec test -e {}/.lock \; -prune -o \
            -type f -name '.*.tmp' -exec rm -f {} +
    fi
    echo "$$ $(hostname)" > "${file}"
    _locks[$1]=${fd}
}

_in_use() { # DIR "PID HOST"
    _die "$1 is in use by process ${2% *} on ${2#* }, or by a job of it:" \
        "wait for it, or give another directory (if nothing runs there, remove $1/.lock)"
}

unlock() { # DIR...
    local dir fd
    for dir in "$@"; do
        if [ -z "${dir}" ] || [ -z "${_locks[${dir}]:-}" ]; then continue; fi
        fd=${_locks[${dir}]}
        : > "${dir}/.lock"
        exec {fd}>&-
        unset "_locks[${dir}]"
    done
}
trap 'unlock "${!_locks[@]}"' EXIT

# shellcheck disable=SC2154
begin() { # STAGE DIR TITLE INPUT...: an input is a file (its content counts) or a value
    local n=$1 dir=$2 title=$3 input
    shift 3
    wanted "${n}" || return 1
    marker=${dir}/.done_stage${n}
    signature=$(for input in "$@"; do
        if [ -f "${input}" ]; then sha256sum < "${input}"; else echo "${input}"; fi
    done | sha256sum | cut -d' ' -f1)
    if [ "$(cat "${marker}" 2> /dev/null)" = "${signature}" ]; then
        log "Stage ${n}: ${title}: finished before in ${dir}, skipped"
        return 1
    fi
    case "${n}" in
        11) locked=${dense_exp} && lock "${locked}" ;;
        15 | 16 | 17 | 18 | 19 | 20) locked= && lock "${prune_exp}" ;; # up to the end
        *) locked=${dir} && lock "${locked}" wait ;;              # several runs need it
    esac
    if [ "$(cat "${marker}" 2> /dev/null)" = "${signature}" ]; then
        log "Stage ${n}: ${title}: finished by another run, skipped"
        unlock "${locked}"
        return 1
    fi
    log "Stage ${n}: ${title}"
    started=${SECONDS}
}

mark() { # FILE: write the signature, whole or not at all
    mkdir -p "$(dirname "$1")"
    echo "${signature}" > "$1.tmp"
    mv "$1.tmp" "$1"
}

resume() { # keep what an interrupted run has left, unless its configuration was another
    local dir old=1
    dir=$(dirname "${marker}")
    if [ -s "${marker/done/begun}" ] && [ "$(cat "${marker/done/begun}")" != "${signature}" ]; then
        while [ -e "${dir}/old.${old}" ]; do old=$((old + 1)); done
        mkdir "${dir}/old.${old}"
        find "${dir}" -mindepth 1 -maxdepth 1 ! -name 'old.*' ! -name .lock ! -name '*_asr_model_*' \
            ! -name select ! -name cut -exec mv -t "${dir}/old.${old}" {} +
        log "The configuration has changed: the earlier result is in ${dir}/old.${old}"
    fi
    mark "${marker/done/begun}"
}

finish() { # the stage is done
    mark "${marker}"
    unlock "${locked}"
    log "Stage ${marker##*stage}: done in $((SECONDS - started)) s"
}

need() { # FILE...: what earlier stages have left; none is no file
    local file there
    for file in "$@"; do
        if [ "${file}" = none ] || [ -e "${file}" ]; then continue; fi
        there=$(cd "$(dirname "${file}")" 2> /dev/null && echo *.pth) || true
        if [[ "${file}" != *.pth || -z "${there#\*.pth}" ]]; then
            _die "${file} is missing: run the earlier stages"
        fi
        _die "${file} is missing: run the earlier stages, or name one of those that are" \
            "there (--inference_asr_model): ${there}"
    done
}

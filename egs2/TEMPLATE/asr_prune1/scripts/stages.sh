#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# To be sourced: which stages run, and which are finished. A stage that has ended well
# leaves DIR/.done_stageN with a hash of all that its result depends on.

log() {
    local fname=${BASH_SOURCE[1]##*/}
    echo -e "$(date '+%Y-%m-%dT%H:%M:%S') (${fname}:${BASH_LINENO[0]}:${FUNCNAME[1]}) $*"
}

# shellcheck disable=SC2154  # stage, stop_stage and skip_stages are options
wanted() { # STAGE: is it to be run?
    [ "$1" -ge "${stage}" ] && [ "$1" -le "${stop_stage}" ] &&
        [[ " ${skip_stages} " != *" $1 "* ]]
}

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
    log "Stage ${n}: ${title}"
    started=${SECONDS}
}

resume() { # keep what an interrupted run has left, unless its configuration was another
    local dir old=1
    dir=$(dirname "${marker}")
    if [ "$(cat "${marker/done/begun}" 2> /dev/null)" != "${signature}" ] &&
        [ -f "${marker/done/begun}" ]; then
        while [ -e "${dir}/old.${old}" ]; do old=$((old + 1)); done
        mkdir "${dir}/old.${old}"
        find "${dir}" -mindepth 1 -maxdepth 1 ! -name 'old.*' ! -name '*_asr_model_*' \
            ! -name select ! -name cut -exec mv -t "${dir}/old.${old}" {} +
        log "The configuration has changed: the earlier result is in ${dir}/old.${old}"
    fi
    mkdir -p "${dir}"
    echo "${signature}" > "${marker/done/begun}"
}

finish() { # the stage is done
    mkdir -p "$(dirname "${marker}")"
    echo "${signature}" > "${marker}.tmp"
    mv "${marker}.tmp" "${marker}"
    log "Stage ${marker##*stage}: done in $((SECONDS - started)) s"
}

need() { # FILE...: what earlier stages have left; none is no file
    local file
    for file in "$@"; do
        if [ "${file}" != none ] && [ ! -e "${file}" ]; then
            echo "$(basename "$0"): error: ${file} is missing: run the earlier stages" >&2
            exit 2
        fi
    done
}

#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# To be sourced. Stages 1-9, by one of two ways:
#   --data_dir, or local/data.py   Kaldi-style directories, by espnet_prune.bin.data_prep
#   a checkout of ESPnet           its run.sh and asr.sh of the same corpus, in ../asr1
# In a checkout ../asr1 is there; elsewhere it is made of links into the linked checkout,
# in which nothing is written. The audio and the language model end up in DUMPDIR and
# EXPDIR of this directory, ../asr1 keeps its data/.
# shellcheck disable=SC2154  # the options of prune.sh

if [ -z "${espnet_root}" ]; then
    espnet_root=${ESPNET_ROOT:-${MAIN_ROOT}/tools/espnet}
    if [ -f "${MAIN_ROOT}/egs2/TEMPLATE/asr1/asr.sh" ]; then espnet_root=${MAIN_ROOT}; fi
fi
[[ "${own_data}" =~ ^(true|false|)$ ]] || _die "--own_data takes true or false, not '${own_data}'"
_recipe=${espnet_root}/egs2/$(basename "$(dirname "${PWD}")")/asr1
_checkout="an ESPnet checkout: git clone https://github.com/espnet/espnet, then
make -C tools espnet ESPNET=/path/to/espnet (or --espnet_root, or ESPNET_ROOT)"

by_espnet() { # do the data come from a checkout?
    [ -z "${data_dir}" ] && [ ! -f local/data.py ]
}

link_item() { # TARGET NAME: ../asr1/NAME becomes a link, if it is not a file of its own
    if [ -e "../asr1/$2" ] && [ ! -L "../asr1/$2" ]; then
        _die "../asr1/$2 is in the way of a link to $1: move it away"
    fi
    ln -sfn "$1" "../asr1/$2"
}

link_recipe() { # make ../asr1, unless this is a checkout and has it
    local item root
    [ -f "${_recipe}/run.sh" ] || _die "${_recipe}/run.sh is missing, it belongs to" ${_checkout}
    root=$(realpath "${_recipe}")
    mkdir -p ../asr1
    if [ "$(realpath ../asr1)" != "${root}" ]; then
        for item in "${root}"/*; do
            case "${item##*/}" in
                data | dump | exp | downloads | path.sh) ;;
                *) link_item "${item}" "${item##*/}" ;;
            esac
        done
        # jobs on a cluster source it again, without the variables of this shell
        printf '%s\n' "export ESPNET_ROOT='$(realpath "${espnet_root}")'" \
            ". '${root}/path.sh'" > ../asr1/path.sh
    fi
    [ -z "${downloads}" ] || link_item "$(realpath "${downloads}")" downloads
}

seen_from_asr1() { # PATH of this directory
    case "$1" in
        /* | "") echo "$1" ;;
        *) echo "../$(basename "${PWD}")/$1" ;;
    esac
}

espnet_stage() { # STAGE: run it by the asr.sh of the checkout
    local dump exp lm options
    dump=$(seen_from_asr1 "${dumpdir}") exp=$(seen_from_asr1 "${expdir}")
    lm=$(seen_from_asr1 "${lm_exp}")
    link_recipe
    words "${asr_opts}"
    options=(${_words[@]+"${_words[@]}"})
    if [ -n "${_nlsyms}" ]; then
        options+=(--nlsyms_txt "$(seen_from_asr1 "${_nlsyms}")")
        options+=(--bpe_nlsyms "$(seen_from_asr1 "${_nlsyms}")")
    fi
    (cd ../asr1 && ./run.sh --stage "$1" --stop_stage "$1" --python "${python}" --lang noinfo \
        --train_set "${train_set}" --valid_set "${valid_set}" --test_sets "${test_sets}" \
        --local_data_opts "${local_data_opts}" --nj "${nj}" --ngpu "${ngpu}" --feats_type raw \
        --speed_perturb_factors "${speed_perturb_factors}" --audio_format "${audio_format}" \
        --fs "${fs}" --min_wav_duration "${min_wav_duration}" \
        --max_wav_duration "${max_wav_duration}" --token_type "${token_type}" --nbpe "${nbpe}" \
        --dumpdir "${dump}" --expdir "${exp}" --use_lm "${use_lm}" --lm_exp "${lm}" \
        --inference_lm "${inference_lm}" ${options[@]+"${options[@]}"})
}

sets_are_here() { # have stages 1-5 been run here?
    local dir
    for dir in "${dumpdir}" "${_raw}" "${_raw}/${_train}"; do
        if [ -L "${dir}" ]; then return 1; fi
    done
    [ -f "${_raw}/${_train}/wav.scp" ]
}

unpack_dense() { # find the directory of a model that is packed, or only has a tag
    if [ -d "${dense_exp}" ]; then
        [ -f "${dense_exp}/meta.yaml" ] || [ -f "${dense_exp}/config.json" ] || return 0
        if [ -f "${dense_exp}/config.yaml" ]; then return; fi
    elif [ ! -e "${dense_exp}" ]; then
        # a directory of a training to come, or a tag?
        case "${dense_exp}" in
            "${expdir}"/* | /* | .* | */*/*) return ;;
            */*) if [ -d "$(dirname "${dense_exp}")" ]; then return; fi ;;
            *) return ;;
        esac
    fi
    dense_exp=$("${_python[@]}" -m espnet_prune.bin.link_dense "${dense_exp}" \
        --unpack "${expdir}/dense/from")
}

take_over() { # use a dense model that was trained elsewhere
    local told own=() model=()
    if [ -f "${dense_exp}/.begun_stage11" ]; then
        # by another recipe of ours, or --expdir is not here?
        if [ "${stage}" -le 11 ] || [[ "$(realpath "${dense_exp}")" == "${PWD}"/* ]]; then return; fi
    else
        log "${dense_exp} is taken as it is"
        skip_stages+=" 11"
        _own=${own_data}
        # one that was recovered here has data and statistics already, and goes on with them
        if [ -z "${own_data}" ] && [ -n "${data_dir}" ] && [ ! -f "${dense_exp}/.begun_stage17" ] \
            && sets_are_here; then _own=true; fi
        : "${_own:=false}"
        if ! "${_own}"; then skip_stages+=" 10"; fi
    fi
    if [ "${stop_stage}" -lt 10 ]; then return; fi
    if "${_own}"; then
        asr_stats_dir+=_for_$(basename "${dense_exp}")
        own=(--train_dir "${_raw}/${_train}" --valid_dir "${_raw}/${valid_set}"
            --stats_dir "${asr_stats_dir}" --fs "${fs}")
    fi
    if [ -n "${inference_asr_model}" ]; then model=(--model "${inference_asr_model}"); fi
    told=$("${_python[@]}" -m espnet_prune.bin.link_dense "${dense_exp}/config.yaml" \
        --views "${expdir}/dense" ${model[@]+"${model[@]}"} ${own[@]+"${own[@]}"})
    # its directory here, the type of its tokens, and its sentencepiece model
    # shellcheck disable=SC2034
    { read -r dense_exp && read -r token_type; read -r bpemodel; } <<< "${told}" || true
    if "${_own}"; then
        # shellcheck disable=SC2034
        asr_config=${dense_exp}/config.yaml asr_args="" token_list=${dense_exp}/tokens.txt
    fi
}

corpus_state() { # a hash of the corpus of --data_dir: other audio at the same paths is new
    local s dirs=()
    [ -n "${data_dir}" ] || return 0
    for s in "${train_set}" "${valid_set}" "${_tests[@]}"; do
        dirs+=("${data_dir}/${s}" "${data_dir}/${s}/utt2spk")
    done
    "${_python[@]}" -m espnet_prune.bin.audio_state --root "${data_dir}" "${dirs[@]}"
}

audio_state() { # DATA...: a hash of data directories and of the audio files they name
    local options=()
    if by_espnet; then options=(--without_times); fi
    "${_python[@]}" -m espnet_prune.bin.audio_state ${options[@]+"${options[@]}"} "$@"
}

audio_kind() { # SETS OPTION...: how ESPnet reads their audio
    local kind
    kind=$("${_python[@]}" -m espnet_prune.bin.decode_jobs kind --dumpdir "${_raw}" --sets "$@") || exit
    echo "${kind:-sound}"
}

whole() { # SET: its directory, with the utterances that training leaves out
    if [ -f "${_raw}/org/$1/wav.scp" ]; then echo "${_raw}/org/$1"; else echo "${_raw}/$1"; fi
}

trained_on() { # SET: training's copy of it below RAW, apart from what is decoded
    if [[ " ${test_sets} " == *" $1 "* && -d "${_raw}/filtered/$1" ]] && ! by_espnet; then
        echo "filtered/$1"
    else
        echo "$1"
    fi
}

needs() { # WORD OPTION CONF: does this configuration need it?
    local told
    [ -f "$3" ] || return 1
    told=$("${_python[@]}" -m espnet_prune.bin.needs "$2" "$3") || exit
    [[ " ${told} " == *" $1 "* ]]
}

given() { # OPTION CONF ARGS: _given: what a training by CONF takes from the dense model; ARGS
    local told
    _given=()
    if needs data "$1" "$2"; then
        told=$("${_python[@]}" -m espnet_prune.bin.data_args "${dense_exp}/config.yaml")
        words "${told}"
        _given=(${_words[@]+"${_words[@]}"})
    fi
    if needs teacher "$1" "$2"; then
        _given+=(--teacher_config "${dense_exp}/config.yaml" --teacher_model "${_dense}")
    fi
    words "$3"
    _given+=(${_words[@]+"${_words[@]}"})
}

data_stage() { # STAGE, 1 to 5
    local item
    for item in data "${dumpdir}" "${_raw}" "${_raw}"/*; do
        [ ! -L "${item}" ] || _die "${item} is a link, data would be written to" \
            "$(realpath "${item}"): remove it, or start with --stage 10"
    done
    if [ -n "${_nlsyms}" ] && [ "$1" -eq 5 ]; then
        mkdir -p "$(dirname "${_nlsyms}")"
        awk 'NF > 1 { print $2 }' "${_raw}/$(trained_on "${_train}")/text" | sort -u > "${_nlsyms}"
    fi
    if by_espnet; then
        [ -f "${_recipe}/run.sh" ] || _die "stages 1-5 need --data_dir CORPUS, or" ${_checkout}
        espnet_stage "$1"
        if [ "$1" -eq 5 ]; then # a copy: the models of this directory name it
            mkdir -p data
            cp -RL ../asr1/data/token_list data
        fi
        return
    fi
    if [ -z "${data_dir}" ] && [ "$1" -eq 1 ]; then
        words "${local_data_opts}"
        "${_python[@]}" local/data.py --data_dir downloads --test_sets "${test_sets}" \
            ${_words[@]+"${_words[@]}"}
    fi
    "${_python[@]}" -m espnet_prune.bin.data_prep --stage "$1" --data_dir "${data_dir:-downloads}" \
        "${_data[@]}" --test_sets "${test_sets}" --speed_perturb_factors "${speed_perturb_factors}"
}

lm_stage() { # STAGE, 6 to 9: the language model, or a word on why there is none
    local dir=${lm_exp} wish="${use_lm}" option="--use_lm true"
    if [ "$1" -eq 9 ]; then
        dir=${expdir}/ngram wish=false option="--asr_opts '--use_ngram true'"
        if [[ "${asr_opts//-/_}" =~ use_ngram\ +true ]]; then wish=true; fi
    fi
    if ! "${wish}"; then
        log "Stage $1: no language model is wanted (${option}), it is left out"
    elif [ "$1" -lt 9 ] && [ -f "${_lm}" ] && [ ! -f "${lm_exp}/.begun_stage6" ]; then
        log "Stage $1: ${lm_exp} is taken as it is"
    elif ! by_espnet; then
        _die "language models are trained where ESPnet prepares the data, too;" \
            "train one there and give --lm_exp DIR"
    elif begin "$1" "${dir}" "Language model" "${asr_opts}" "${inference_lm}" \
        "${dumpdir}/raw/lm_train.txt" "${token_list}"; then
        need "${dumpdir}/raw/lm_train.txt" "${token_list}"
        if [ "$1" -eq 6 ]; then resume; fi
        espnet_stage "$1"
        finish
    fi
}

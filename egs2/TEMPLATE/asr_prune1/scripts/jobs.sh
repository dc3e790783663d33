#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# To be sourced. What several stages run, and what --dry_run does.
# shellcheck disable=SC2154  # the options of prune.sh

if [ -f "${python}" ]; then _words=("${python}"); else words "${python}"; fi
_python=("${_words[@]}")
words "${train_cmd}" && _train_cmd=("${_words[@]}")
words "${cuda_cmd}" && _cuda_cmd=("${_words[@]}")
words "${decode_cmd}" && _decode_cmd=("${_words[@]}")

estimate() { # what the configurations mean; needs no data
    local vocab=${nbpe} factors hours_given=() recover=()
    if [ -f "${token_list}" ]; then
        vocab=$(wc -l < "${token_list}")
    elif [ "${token_type}" != bpe ]; then
        if [ "${token_type}" = char ]; then vocab=30; else vocab=10000; fi
    fi
    read -ra factors <<< "${speed_perturb_factors:-1.0}"
    if [ -n "${hours}" ]; then # a faster copy is shorter
        hours_given=(--hours "$(awk -v hours="${hours}" 'BEGIN {
            for (i = 1; i < ARGC; i++) sum += hours / ARGV[i]; print sum }' "${factors[@]}")")
    fi
    words "${dry_run_args}"
    if [ "${recover_config}" != none ]; then recover=(--recover_config "${recover_config}"); fi
    "${_python[@]}" -m espnet_prune.bin.dry_run --asr_config "${asr_config}" \
        --prune_config "${prune_config}" ${recover[@]+"${recover[@]}"} \
        --asr_args="${asr_args}" --prune_args="${prune_args}" --recover_args="${recover_args}" \
        --vocab "${vocab}" --ngpu "$((ngpu > 0 ? ngpu : 1))" \
        ${hours_given[@]+"${hours_given[@]}"} ${_words[@]+"${_words[@]}"}
}

train() { # DIR OPTION...: train a model, show the epochs
    "${_cuda_cmd[@]}" --gpu "${ngpu}" --keep_logs 9 --name "$(basename "$1")" \
        --show 'epoch (started|results)' "$1"/train.log \
        "${_python[@]}" -m espnet_prune.bin.asr_train --ngpu "${ngpu}" \
        --multiprocessing_distributed true --resume true --output_dir "$@"
}

decode() { # CONFIG MODEL DIR: beam search over all test sets, the jobs side by side
    local jobs kind
    kind=$(audio_kind "${test_sets}" --model_config "$1")
    words "${inference_args}"
    jobs=$("${_python[@]}" -m espnet_prune.bin.decode_jobs split --dumpdir "${_raw}" \
        --sets "${test_sets}" --nj "${inference_nj}" --output_dir "$3")
    "${_decode_cmd[@]}" --gpu "${_gpu}" --count "best hypo:" --total "$(wc -l < "$3"/logdir/wav.scp)" \
        JOB=1:"${jobs}" "$3"/logdir/asr_inference.JOB.log \
        "${_python[@]}" -m espnet_prune.bin.asr_inference \
        --batch_size 1 --ngpu "${_gpu}" --key_file "$3"/logdir/keys.JOB.scp \
        --data_path_and_name_and_type "$3/logdir/wav.scp,speech,${kind}" \
        --asr_train_config "$1" --asr_model_file "$2" \
        ${_lm:+--lm_train_config "${lm_exp}/config.yaml" --lm_file "${_lm}"} \
        --output_dir "$3"/logdir/output.JOB --config "${inference_config}" \
        ${_words[@]+"${_words[@]}"}
    "${_python[@]}" -m espnet_prune.bin.decode_jobs collect --dumpdir "${_raw}" \
        --sets "${test_sets}" --output_dir "$3"
}

score() { # DIR OPTION...: of decoded text; writes tables and score.json there
    "${_python[@]}" -m espnet_prune.bin.score --ref "${_raw}" --sets "${test_sets}" \
        --model_config "${dense_exp}/config.yaml" ${bpemodel:+--bpemodel "${bpemodel}"} \
        ${_nlsyms:+--use_intent} --hyp "$@"
}

deploy_stage() { # 20: files for a device, and what they make of all test sets
    local s against=(--against "${prune_exp}/${_decode}") told=${prune_exp}/${_decode}_onnx out=${prune_exp}/deploy
    if "${skip_deploy}"; then
        log "Stage 20: no ONNX files are wanted (--skip_deploy false), it is left out."
        return
    fi
    begin 20 "${prune_exp}" "Deploy" "${prune_exp}/config.yaml" "${_pruned}" "${deploy_args}" \
        "${_how[@]}" "${_speakers}" || return 0
    need "${_pruned}" "${inference_config}"
    words "${deploy_args}"
    "${_train_cmd[@]}" "${out}.log" "${_python[@]}" -m espnet_prune.bin.deploy --model "${_pruned}" \
        --inference_config "${inference_config}" --calibration "${_raw}/${valid_set}" \
        --output_dir "${out}" ${_words[@]+"${_words[@]}"}
    for s in "${_tests[@]}"; do
        "${_decode_cmd[@]}" "${told}/${s}.log" "${_python[@]}" -m espnet_prune.bin.transcribe \
            "${out}" "$(whole "${s}")/wav.scp" --output "${told}/${s}/text"
        [ -f "${prune_exp}/${_decode}/${s}/text" ] || against=() # by ESPnet, in stage 18
    done
    score "${told}" ${against[@]+"${against[@]}"}
    finish
}

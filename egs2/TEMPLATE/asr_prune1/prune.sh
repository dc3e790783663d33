#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# usage: ./run.sh [--option value ...]     (names may be written with '-' or '_')
#   1-9 as in ESPnet's asr.sh: data, speed perturbation, format, filter, tokens, LM
#   10 statistics   11 train the dense model    12 decode it   13 score it
#   14 measure      15 select what is removed   16 cut and verify
#   17 recover      18 decode the pruned model  19 score it
#   20 deploy       21 report                   22 pack
# A finished stage is skipped unless its configuration or its input has changed, the audio
# included (by size and time; by size what ESPnet's asr.sh has formatted). --stage 14
# --dense_exp starts from what ESPnet's asr.sh has trained, or what else `quick --model` takes.

set -euo pipefail

# options
stage=1                # first stage
stop_stage=10000       # last stage
skip_stages=           # stages to leave out, as in "12 13"
python=python3         # the interpreter, may be several words
nj=2                   # parallel jobs for statistics
inference_nj=2         # parallel jobs for decoding
search_nj=1            # parallel jobs for the search of method layers
ngpu=0                 # GPUs for training
gpu_inference=false    # decode on a GPU
dumpdir=dump           # formatted data
expdir=exp             # experiments
espnet_root=           # an ESPnet checkout, default this one, ESPNET_ROOT or tools/espnet
asr_opts=              # options of its asr.sh, stages 1-9, paths as seen from ../asr1
downloads=             # where the corpora lie that its db.sh looks for in downloads
data_dir=              # a Kaldi-style corpus with one folder per set, instead of a checkout
local_data_opts=       # options of local/data.py or of local/data.sh
train_set=train        # as in data/ (without _sp)
valid_set=dev          # for the choice of epochs
test_sets="dev test"   # what is decoded and scored
speed_perturb_factors= # as in "0.9 1.0 1.1"
audio_format=flac      # flac, wav, or flac.ark, wav.ark
fs=16000               # sampling rate in Hz
min_wav_duration=0.1   # seconds
max_wav_duration=20    # seconds
token_type=bpe         # bpe, char or word
nbpe=30                # number of sentencepiece units
use_intent=false       # SLU: a text is an intent, which stays one token, and the transcript
token_list=            # default data/token_list/TYPE/tokens.txt
bpemodel=              # default beside the token list
feats_normalize=global_mvn # global_mvn or utterance_mvn; none for raw speech
use_lm=false           # train a language model with the checkout, and decode with it
lm_exp=                # a language model of ESPnet, default EXPDIR/lm_TOKENS
inference_lm=valid.loss.ave.pth # the checkpoint of it
asr_config=conf/train_asr.yaml # of the dense model
asr_args=              # more options for the dense training; here and below quotes keep blanks
asr_tag=               # default the name of asr_config, and the tokens
dense_exp=             # default EXPDIR/asr_TAG
asr_stats_dir=         # default EXPDIR/asr_stats_raw_TOKENS
inference_asr_model=   # what is decoded and pruned, default valid.acc.ave.pth (docs/own_models.md: its order)
own_data=              # prune a model from elsewhere on the sets of here; default with --data_dir
inference_config=conf/decode_asr.yaml # of the beam search
inference_args=        # more options for the beam search
prune_config=conf/prune.yaml # method, budget and training of the selection
prune_args=            # more options for the selection
recover_config=conf/recover.yaml # of the training after the cut, or none; distill_conf: a teacher
recover_args=          # more options for the recovery
decode_cut=true        # decode and score the model before the recovery, too
tag=                   # default the names of the dense model and of prune_config
prune_exp=             # default EXPDIR/TAG
report_args=           # more options for the report
dry_run=false          # only say what the configurations mean: sizes, memory, GPU hours
dry_run_args=          # more options for it, as in "--tflops 20 --json dry_run.json"
hours=                 # speech in train_set, without the copies of other speeds
skip_deploy=true       # stage 20: ONNX files and their runtime, decided and timed on this machine
deploy_args=           # more options for it, as in "--max_wer_loss 0.3"
skip_packing=true      # stage 22: an archive as ESPnet's model zoo unpacks it
skip_upload_hf=true    # false: on the Hugging Face hub, too, as --hf_repo USER/MODEL
hf_repo=               # USER/MODEL
# end of options
_args="$*"
. scripts/stages.sh
. scripts/parse_options.sh
log "$0 ${_args}"
. ./path.sh
if [ -f cmd.sh ]; then . ./cmd.sh; else . scripts/cmd.sh; fi

_train=${train_set}${speed_perturb_factors:+_sp}
case "${token_type}" in
    bpe) _tokens=bpe${nbpe} _folder=bpe_unigram${nbpe} ;;
    char | word) _tokens=${token_type} _folder=${token_type} ;;
    *) _die "--token_type ${token_type} is not there (bpe, char or word)" ;;
esac
if [ -n "${lm_exp}" ]; then use_lm=true; fi
if "${use_lm}"; then : "${lm_exp:=${expdir}/lm_${_tokens}}"; fi
_lm=${lm_exp:+${lm_exp}/${inference_lm}}
_tokens+=${speed_perturb_factors:+_sp}
: "${token_list:=data/token_list/${_folder}/tokens.txt}"
if [ "${token_type}" = bpe ]; then : "${bpemodel:=$(dirname "${token_list}")/bpe.model}"; fi
: "${asr_tag:=$(basename "${asr_config}" .yaml)_raw_${_tokens}}"
. scripts/data.sh
. scripts/jobs.sh
if [ -n "${dense_exp}" ]; then unpack_dense; fi
: "${dense_exp:=${expdir}/asr_${asr_tag}}"
: "${asr_stats_dir:=${expdir}/asr_stats_raw_${_tokens}}"
: "${tag:=$(basename "${dense_exp}")_$(basename "${prune_config}" .yaml)}"
: "${prune_exp:=${expdir}/${tag}}"
read -ra _tests <<< "${test_sets}"
_raw=${dumpdir}/raw _gpu=0 _nlsyms=""
if "${gpu_inference}"; then _gpu=1; fi
if "${use_intent}"; then _nlsyms=data/intents.txt; fi
if [ "${recover_config}" = none ]; then decode_cut=false; fi # it is the same model
"${skip_upload_hf}" || [ -n "${hf_repo}" ] || _die "--skip_upload_hf false needs --hf_repo"
if "${skip_upload_hf}"; then hf_repo=""; fi

if "${dry_run}"; then estimate; exit; fi

_data=(--train_set "${train_set}" --valid_set "${valid_set}" --fs "${fs}" --dumpdir "${dumpdir}"
    --token_type "${token_type}" --nbpe "${nbpe}" --min_wav_duration "${min_wav_duration}"
    --max_wav_duration "${max_wav_duration}" ${_nlsyms:+--nlsyms_txt "${_nlsyms}"})
_corpus=("local/data.py" "${local_data_opts}" "${_recipe}" "${data_dir}")
for s in "${train_set}" "${valid_set}" "${_tests[@]}"; do
    _corpus+=("${data_dir}/${s}/wav.scp" "${data_dir}/${s}/text")
done
if by_espnet; then _corpus+=("${asr_opts}" "${audio_format}" "${downloads}"); fi
if any_wanted 1 2 3 4 5; then _corpus+=("$(corpus_state)"); fi
for n in 1 2 3 4 5; do
    begin ${n} "${dumpdir}" "Data preparation" "${_data[*]}" "${test_sets}" \
        "${speed_perturb_factors}" "${_corpus[@]}" || continue
    data_stage ${n}
    finish
done
for n in 6 7 8 9; do
    if wanted ${n}; then lm_stage ${n}; fi
done

_own=false
if [ -f "${dense_exp}/config.yaml" ]; then take_over; fi
_dense="${dense_exp}/${inference_asr_model:=valid.acc.ave.pth}"
_train=$(trained_on "${_train}") _valid=$(trained_on "${valid_set}") _type=sound _audio=""
if any_wanted 10 11; then
    _type=$(audio_kind "${_train} ${_valid}")
    _audio=$(audio_state "${_raw}/${_train}" "${_raw}/${_valid}")
fi
_asr=(--token_type "${token_type}" --token_list "${token_list}" ${bpemodel:+--bpemodel "${bpemodel}"}
    --non_linguistic_symbols "${_nlsyms:-none}" --cleaner none --g2p none --use_preprocessor true
    --frontend_conf "fs=${fs}" --config "${asr_config}")
if "${_own}"; then _asr=(--base_config "${asr_config}"); fi # for lengths in the tokens of the model
_shapes=(--fold_length "$((fs * 5))" --fold_length 150 --normalize "${feats_normalize}")
if [ "${feats_normalize}" = global_mvn ]; then
    _shapes+=(--normalize_conf "stats_file=${asr_stats_dir}/train/feats_stats.npz")
fi
for s in train:${_train} valid:${_valid}; do
    for x in "wav.scp,speech,${_type}" text,text,text; do
        _asr+=("--${s%%:*}_data_path_and_name_and_type" "${_raw}/${s#*:}/${x}")
    done
    for x in speech_shape "text_shape.${token_type}"; do
        _shapes+=("--${s%%:*}_shape_file" "${asr_stats_dir}/${s%%:*}/${x}")
    done
done
_texts=("${_raw}/${_train}/text" "${_raw}/${_valid}/text" "${token_list}")

if begin 10 "${asr_stats_dir}" "Statistics" "${_texts[@]}" "${_audio}" "${_asr[*]}" "${asr_config}" \
    "${asr_args}"; then
    need "${asr_config}" "${_texts[@]}"
    words "${asr_args}"
    _jobs=$("${_python[@]}" -m espnet_prune.bin.decode_jobs split --dumpdir "${_raw}" --nj "${nj}" \
        --sets "${_train} ${_valid}" --by_set --output_dir "${asr_stats_dir}")
    "${_train_cmd[@]}" JOB=1:"${_jobs}" "${asr_stats_dir}"/logdir/stats.JOB.log \
        "${_python[@]}" -m espnet_prune.bin.asr_train --collect_stats true "${_asr[@]}" \
        --train_shape_file "${asr_stats_dir}/logdir/${_train}.JOB.scp" \
        --valid_shape_file "${asr_stats_dir}/logdir/${_valid}.JOB.scp" \
        --output_dir "${asr_stats_dir}/logdir/stats.JOB" ${_words[@]+"${_words[@]}"}
    _input=()
    for n in $(seq "${_jobs}"); do _input+=(--input_dir "${asr_stats_dir}/logdir/stats.${n}"); done
    "${_python[@]}" -m espnet2.bin.aggregate_stats_dirs --output_dir "${asr_stats_dir}" "${_input[@]}"
    for s in train valid; do # with the vocabulary size, which numel batches need
        awk -v n="$(wc -l < "${token_list}")" '{ print $0 "," n }' \
            "${asr_stats_dir}/${s}/text_shape" > "${asr_stats_dir}/${s}/text_shape.${token_type}"
    done
    finish
fi

if begin 11 "${dense_exp}" "Train the dense model" "${_texts[@]}" "${_audio}" "${_asr[*]}" \
    "${asr_config}" "${asr_args}" "${_shapes[*]}" "${asr_stats_dir}/train/feats_stats.npz"; then
    need "${asr_config}" "${asr_stats_dir}/train/text_shape.${token_type}"
    resume
    words "${asr_args}"
    train "${dense_exp}" "${_asr[@]}" "${_shapes[@]}" ${_words[@]+"${_words[@]}"}
    finish
fi

_decode=$(basename "${inference_config}" .yaml)
if [ -n "${_lm}" ]; then _decode+=_lm_$(basename "${lm_exp}")_${inference_lm%.pth}; fi
_decode+=_asr_model_${inference_asr_model%.pth}
_speakers="" _tested=() _how=("${inference_config}" "${inference_args}" ${_lm:+"${_lm}"} ${_nlsyms:+"${_nlsyms}"})
if any_wanted 12 13 18 19 20; then # what is scored is never filtered
    for s in "${_tests[@]}"; do _tested+=("$(whole "${s}")"); done
    _how+=("${test_sets}" "$(audio_state "${_tested[@]}")")
    _speakers=$({ cat "${_tested[@]/%//utt2spk}" 2> /dev/null || true; } | sha256sum)
fi
if begin 12 "${dense_exp}/${_decode}" "Decode the dense model" "${_how[@]}" \
    "${dense_exp}/config.yaml" "${_dense}"; then
    need "${_dense}" "${inference_config}" ${_lm:+"${_lm}"}
    decode "${dense_exp}/config.yaml" "${_dense}" "${dense_exp}/${_decode}"
    finish
fi

if begin 13 "${dense_exp}/${_decode}" "Score the dense model" "${_how[@]}" "${_dense}" \
    "${_speakers}"; then
    score "${dense_exp}/${_decode}"
    finish
fi

_layers="" _search=()
if wanted 14 && needs similarity --prune_config "${prune_config}"; then _layers="method: layers"; fi
if begin 14 "${dense_exp}" "Measure" "${dense_exp}/config.yaml" "${_dense}" "${_layers}"; then
    need "${_dense}"
    if [ -f "${inference_config}" ]; then _search=(--inference_config "${inference_config}"); fi
    "${_python[@]}" -m espnet_prune.bin.cost --model_config "${dense_exp}/config.yaml" \
        --model_file "${_dense}" ${_search[@]+"${_search[@]}"} --output "${dense_exp}/cost.json"
    [ -z "${_layers}" ] || "${_train_cmd[@]}" "${dense_exp}"/similarity.log "${_python[@]}" -m espnet_prune.bin.similarity \
        --model_config "${dense_exp}/config.yaml" --model_file "${_dense}" --output_dir "${dense_exp}"
    finish
fi

_select=${prune_exp}/select _cut=${prune_exp}/cut _pruned=${prune_exp}/${inference_asr_model}
if any_wanted 15 17; then _audio=$(audio_state --without_times "${dense_exp}/config.yaml"); fi
if begin 15 "${_select}" "Select what is removed" "${prune_config}" "${prune_args}" \
    "${dense_exp}/config.yaml" "${_dense}" "${_audio}"; then
    need "${prune_config}" "${_dense}"
    resume
    given --prune_config "${prune_config}" "${prune_args}"
    "${_cuda_cmd[@]}" --gpu "${ngpu}" --keep_logs 9 --name "$(basename "${prune_exp}")" \
        --show 'epoch (started|results|structure)|blocks|correlation|calibrat|vectors of|error [0-9]|by the gates|The gates have|not finite|WARNING' "${_select}"/select.log \
        "${_python[@]}" -m espnet_prune.bin.select --config "${prune_config}" --ngpu "${ngpu}" \
        --model_config "${dense_exp}/config.yaml" --model_file "${_dense}" \
        --output_dir "${_select}" --nj "${search_nj}" --cmd "${decode_cmd}" ${_given[@]+"${_given[@]}"}
    finish
fi

if begin 16 "${_cut}" "Cut and verify" "${_select}/structure.json" "${_select}/masks.pth" \
    "${dense_exp}/config.yaml" "${_dense}"; then
    need "${_select}/structure.json"
    resume
    "${_train_cmd[@]}" "${_cut}"/cut.log "${_python[@]}" -m espnet_prune.bin.cut \
        --model_config "${dense_exp}/config.yaml" --model_file "${_dense}" \
        --select_dir "${_select}" --output_dir "${_cut}"
    finish
fi

if begin 17 "${prune_exp}" "Recover by fine-tuning" "${recover_config}" "${recover_args}" \
    "${_cut}/config.yaml" "${_cut}/model.pth" "${_dense}" "${_audio}"; then
    need "${recover_config}" "${_cut}/model.pth"
    resume
    given --recover_config "${recover_config}" "${recover_args}"
    if [ "${recover_config}" = none ]; then # the model stays as it was cut
        cp "${_cut}/config.yaml" "${prune_exp}" && cp "${_cut}/model.pth" "${_pruned}"
    else
        train "${prune_exp}" --base_config "${_cut}/config.yaml" \
            --init_param "${_cut}/model.pth" --config "${recover_config}" ${_given[@]+"${_given[@]}"}
    fi
    finish
fi

if begin 18 "${prune_exp}/${_decode}" "Decode the pruned model" "${_how[@]}" \
    "${prune_exp}/config.yaml" "${_pruned}" "${_cut}/model.pth" "${decode_cut}"; then
    need "${_pruned}" "${inference_config}" ${_lm:+"${_lm}"}
    if "${decode_cut}"; then decode "${_cut}/config.yaml" "${_cut}/model.pth" "${_cut}/${_decode}"; fi
    decode "${prune_exp}/config.yaml" "${_pruned}" "${prune_exp}/${_decode}"
    finish
fi

_against=(--against "${dense_exp}/${_decode}")
for s in "${_tests[@]}"; do [ -f "${dense_exp}/${_decode}/${s}/text" ] || _against=(); done
if begin 19 "${prune_exp}/${_decode}" "Score the pruned model" "${_how[@]}" \
    "${_pruned}" "${_cut}/model.pth" "${decode_cut}" "${_against[*]}" "${_speakers}"; then
    [ -n "${_against[*]}" ] || log "${dense_exp} is not decoded (stage 12): nothing to compare with"
    if "${decode_cut}"; then score "${_cut}/${_decode}" ${_against[@]+"${_against[@]}"}; fi
    score "${prune_exp}/${_decode}" ${_against[@]+"${_against[@]}"}
    finish
fi

if wanted 20; then deploy_stage; fi
if wanted 21; then
    log "Stage 21: Report"
    words "${report_args}"
    _report=$("${_python[@]}" -m espnet_prune.bin.report --dense_exp "${dense_exp}" \
        --prune_exp "${prune_exp}" --model "${inference_asr_model}" --decode "${_decode}" \
        ${_words[@]+"${_words[@]}"})
fi

if "${skip_packing}"; then
    wanted 22 && log "Stage 22: no archive is wanted (--skip_packing false), it is left out."
elif begin 22 "${prune_exp}" "Pack" "${prune_exp}/config.yaml" "${_pruned}" "${hf_repo}"; then
    "${_python[@]}" -m espnet_prune.bin.pack --exp_dir "${prune_exp}" \
        --model "${inference_asr_model}" ${hf_repo:+--hf_repo "${hf_repo}"}
    finish
fi

log "Finished in ${SECONDS} s"
if [ -n "${_report:-}" ]; then echo "${_report}"; fi

#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# usage: local/compare.sh [--option value ...]     (from the recipe directory)
# Compare ways of making a model smaller, over seeds and sizes, each with the same number
# of training epochs after the dense model:
#   dense        the model that all of them start from
#   l0_kd        L0 gates with layerwise distillation, cut, recovery with distillation
#   l0           the same without distillation
#   magnitude    units of small norm removed at once, then fine-tuning
#   scratch      a Conformer of the same number of encoder parameters, trained anew
#   scratch_long the same, with the epochs of the dense model in addition
#   dense_long   the dense model, fine-tuned for as many epochs as all others
#   l0_kd_macs   l0_kd with the budget in MACs instead of parameters
#   l0_kd_parts  the same share of the MACs of the front end and of the blocks
#   l0_kd_blocks the MACs of l0_kd_macs, all taken from the blocks
# Jobs run side by side, each on one thread. Call it again to go on after an interruption;
# what is finished is not repeated. EXPDIR/RESULTS.md has every method against dense, and the
# first of --methods against the others.

set -e
set -u
set -o pipefail

# options
data_dir=              # a Kaldi-style corpus with train/, dev/ and test/
dumpdir=dump           # formatted data
expdir=exp/compare     # all models of the comparison
seeds="0 1 2"          # of dense and l0_kd
other_seeds=           # of the other methods, default the same
methods="l0_kd l0 magnitude scratch" # rows of the table
sizes="50 70 85"       # percent of the encoder that is removed
max_jobs=2             # jobs at a time
asr_config=conf/train_asr_small.yaml # dense model
prune_config=conf/prune_l0_50.yaml   # L0 with distillation
recover_config=conf/recover.yaml     # recovery with distillation
inference_config=conf/decode_asr.yaml # beam search
inference_asr_model=valid.acc.ave.pth # valid.cer_ctc.ave.pth where there is no decoder
feats_normalize=global_mvn # none for raw speech
test_sets="dev test"   # what is decoded
speed_perturb_factors="0.9 1.0 1.1" # of the training set
token_type=char        # bpe or char
nbpe=30                # number of sentencepiece units
bootstrap=10000        # resamplings of the intervals
only_table=false       # train nothing, make the table of what is there
# end of options

. scripts/parse_options.sh
. ./path.sh

common=(--dumpdir "${dumpdir}" --token_type "${token_type}" --nbpe "${nbpe}" --test_sets "${test_sets}"
    --speed_perturb_factors "${speed_perturb_factors}" --data_dir "${data_dir}"
    --asr_stats_dir "${expdir}/stats" --inference_config "${inference_config}"
    --inference_asr_model "${inference_asr_model}" --feats_normalize "${feats_normalize}"
    --inference_nj 1 --nj 1)
if [ "${only_table}" = false ]; then
    ./prune.sh "${common[@]}" --asr_config "${asr_config}" --stop_stage 10
fi
python3 local/compare.py --expdir "${expdir}" --seeds ${seeds} \
    --other_seeds ${other_seeds:-${seeds}} --methods ${methods} --sizes ${sizes} \
    --max_jobs "${max_jobs}" --asr_config "${asr_config}" \
    --prune_config "${prune_config}" --recover_config "${recover_config}" \
    --inference_config "${inference_config}" --test_sets ${test_sets} \
    --inference_asr_model "${inference_asr_model}" \
    --bootstrap "${bootstrap}" --dumpdir "${dumpdir}" --only_table "${only_table}" -- "${common[@]}"

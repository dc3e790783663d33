#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# usage: local/compare_depth.sh [--option value ...]     (from the recipe directory)
# Depth on demand against its alternatives, by greedy CTC without a language model:
#   ondemand  trained with intermediate CTC and stochastic depth, cut by its depth table
#   separate  a model of that depth, trained anew with the same regularisers
#   plain     the same cuts of a model that was trained without the regularisers
#   truncate  the first blocks of the on-demand model
#   random    random blocks of the on-demand model, five draws
#   comflp    the plain model, cut by CoMFLP and fine-tuned
# Jobs run side by side, each on one thread. Call it again to go on after an interruption;
# what is finished is not repeated. The table is in EXPDIR/RESULTS.md.

set -euo pipefail

# options
data_dir=              # a Kaldi-style corpus with train/, dev/ and test/
dumpdir=dump           # formatted data
expdir=exp/depth       # all models of the comparison
stats_dir=exp/depth/stats # statistics
families="transformer conformer" # encoders: conf/train_FAMILY_ctc*.yaml
seeds="0 1"            # of the first family
other_seeds=0          # of the others
depths="12 10 8 6 4"   # what is decoded
separate="8 6 4"       # depths that are trained anew
recover="6"            # depths of CoMFLP with fine-tuning
max_jobs=2             # jobs at a time
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
    --asr_stats_dir "${stats_dir}" --nj 1 --inference_asr_model valid.cer_ctc.ave.pth)
if [ "${only_table}" = false ]; then
    ./prune.sh "${common[@]}" --asr_config "conf/train_${families%% *}_ctc.yaml" --stop_stage 10
fi
python3 local/compare_depth.py --expdir "${expdir}" --dumpdir "${dumpdir}" --families ${families} \
    --seeds ${seeds} --other_seeds ${other_seeds} --depths ${depths} --separate ${separate} \
    --recover ${recover} --max_jobs "${max_jobs}" --test_sets ${test_sets} \
    --bootstrap "${bootstrap}" --only_table "${only_table}" -- "${common[@]}"

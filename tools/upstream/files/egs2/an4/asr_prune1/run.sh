#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Prune a Conformer on CMU's AN4. Stages 1-9 are those of ../asr1.
set -e
set -u
set -o pipefail

./prune.sh \
    --train_set train_nodev \
    --valid_set train_dev \
    --test_sets "train_dev test" \
    --token_type char \
    --speed_perturb_factors "0.9 1.0 1.1" \
    --asr_config conf/train.yaml \
    --prune_config conf/prune.yaml \
    --recover_config conf/recover.yaml \
    --inference_config conf/decode.yaml \
    "$@"

#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Prune a Conformer on CMU's AN4. The corpus: --data_dir FOLDER, or a linked ESPnet with
# --train_set train_nodev --valid_set train_dev --test_sets "train_dev test"
set -e
set -u
set -o pipefail

test_sets="dev test"

./prune.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "${test_sets}" \
    --token_type char \
    --speed_perturb_factors "0.9 1.0 1.1" \
    --asr_config conf/train_asr.yaml \
    --prune_config conf/prune_l0_50.yaml \
    --recover_config conf/recover.yaml \
    --inference_config conf/decode_asr.yaml \
    "$@"

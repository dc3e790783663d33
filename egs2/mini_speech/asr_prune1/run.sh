#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Prune a Conformer on speech that espeak-ng makes on the spot: a demo in minutes.
set -e
set -u
set -o pipefail

train_set=train
valid_set=dev
test_sets="test"

./prune.sh \
    --train_set "${train_set}" \
    --valid_set "${valid_set}" \
    --test_sets "${test_sets}" \
    --token_type char \
    --speed_perturb_factors "0.9 1.0 1.1" \
    --asr_config conf/train_asr.yaml \
    --prune_config conf/prune_obs_50.yaml \
    --recover_config conf/recover.yaml \
    --inference_config conf/decode_asr.yaml \
    "$@"

#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Spoken language understanding: the sentences of mini_speech, each after its intent.
set -euo pipefail

./prune.sh \
    --local_data_opts "--intents true" \
    --use_intent true \
    --train_set train \
    --valid_set dev \
    --test_sets "test" \
    --token_type char \
    --speed_perturb_factors "0.9 1.0 1.1" \
    --asr_config conf/train_asr.yaml \
    --prune_config conf/prune_l0_50.yaml \
    --recover_config conf/recover.yaml \
    --inference_config conf/decode_asr.yaml \
    "$@"

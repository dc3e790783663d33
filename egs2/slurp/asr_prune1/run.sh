#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Spoken language understanding on SLURP: intent and transcript. Stages 1-5 are those of a
# linked ESPnet checkout: make -C tools espnet ESPNET=/path
set -euo pipefail

./prune.sh \
    --use_intent true \
    --train_set train \
    --valid_set devel \
    --test_sets "test devel" \
    --hours 83.7 --dry_run_args "--seconds 3" --ngpu 1 \
    --nj 16 --inference_nj 16 \
    --token_type word \
    --feats_normalize utterance_mvn \
    --max_wav_duration 30 \
    --asr_config conf/train_asr_conformer.yaml \
    --prune_config conf/prune_macs_40.yaml \
    --recover_config conf/recover.yaml \
    --inference_config conf/decode_asr.yaml \
    "$@"

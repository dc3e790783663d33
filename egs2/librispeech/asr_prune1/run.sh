#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# A Conformer on 960 hours of LibriSpeech. The data are prepared by ESPnet, see README.md
set -euo pipefail

./prune.sh \
    --train_set train_960 \
    --valid_set dev \
    --test_sets "test_clean test_other dev_clean dev_other" \
    --local_data_opts "--stop_stage 3" --asr_opts "--lm_train_text data/train_960/text" \
    --hours 960.9 --ngpu 4 \
    --nj 16 --inference_nj 16 \
    --audio_format flac.ark \
    --token_type bpe --nbpe 5000 \
    --max_wav_duration 30 \
    --speed_perturb_factors "0.9 1.0 1.1" \
    --asr_config conf/train_asr_conformer.yaml \
    --prune_config conf/prune_l0_50.yaml \
    --recover_config conf/recover.yaml \
    --inference_config conf/decode_asr.yaml \
    "$@"

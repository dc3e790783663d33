#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Depth on demand on 960 hours of LibriSpeech. The data are prepared by ESPnet, see README.md
set -euo pipefail

./prune.sh \
    --train_set train_960 \
    --valid_set dev \
    --test_sets "test_clean test_other dev_clean dev_other" \
    --local_data_opts "--stop_stage 3" --asr_opts "--lm_train_text data/train_960/text" \
    --ngpu 4 \
    --nj 16 --inference_nj 16 \
    --audio_format flac.ark \
    --token_type bpe --nbpe 500 \
    --max_wav_duration 30 \
    --speed_perturb_factors "0.9 1.0 1.1" \
    --asr_config conf/train_transformer_ctc_interctc_sd.yaml \
    --inference_asr_model valid.cer_ctc.ave.pth \
    --prune_config conf/prune_ondemand.yaml \
    --recover_config none \
    "$@"

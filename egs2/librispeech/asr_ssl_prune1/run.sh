#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# wav2vec 2.0, HuBERT and WavLM on 960 hours of LibriSpeech, four times the batch of 100 hours
set -euo pipefail

./prune.sh \
    --train_set train_960 --valid_set dev \
    --test_sets "test_clean test_other dev_clean dev_other" \
    --local_data_opts "--stop_stage 3" --asr_opts "--lm_train_text data/train_960/text" \
    --hours 960.9 --ngpu 4 --nj 16 --inference_nj 16 \
    --audio_format flac.ark --max_wav_duration 30 \
    --token_type char --feats_normalize none \
    --asr_config conf/train_wav2vec2_base.yaml \
    --asr_args "--batch_bins 12800000 --max_epoch 15" \
    --inference_asr_model valid.cer_ctc.ave.pth \
    --prune_config conf/prune_macs_50.yaml \
    --prune_args "--batch_bins 12800000 --max_epoch 8" \
    --recover_config conf/recover.yaml --inference_config conf/decode_ctc.yaml \
    --recover_args "--batch_bins 12800000 --max_epoch 8" \
    "$@"

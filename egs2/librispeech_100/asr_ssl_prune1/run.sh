#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# wav2vec 2.0, HuBERT and WavLM on 100 hours of LibriSpeech. ESPnet prepares the data
set -euo pipefail

./prune.sh \
    --train_set train_clean_100 \
    --valid_set dev \
    --test_sets "test_clean test_other dev_clean dev_other" \
    --local_data_opts "--stop_stage 3" \
    --hours 100.6 --ngpu 1 \
    --nj 16 --inference_nj 16 \
    --audio_format flac.ark \
    --token_type char --feats_normalize none \
    --max_wav_duration 30 \
    --asr_config conf/train_wav2vec2_base.yaml \
    --inference_asr_model valid.cer_ctc.ave.pth \
    --prune_config conf/prune_macs_50.yaml \
    --recover_config conf/recover.yaml \
    --inference_config conf/decode_ctc.yaml \
    "$@"

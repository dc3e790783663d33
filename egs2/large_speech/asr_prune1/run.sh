#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Prune a Conformer on hours of speech that espeak-ng makes on the spot: many voices, an open
# vocabulary, noise and rooms, and a test set large enough to tell half a point.
set -euo pipefail

./prune.sh \
    --train_set train \
    --valid_set dev \
    --test_sets test \
    --token_type char \
    --hours 5.5 \
    --asr_config conf/train_asr.yaml \
    --prune_config conf/prune_obs_50.yaml \
    --recover_config conf/recover.yaml \
    --inference_config conf/decode_asr.yaml \
    "$@"

#!/usr/bin/env bash

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

# Spoken language understanding: the recipe of mini_speech, each sentence after its intent.
set -euo pipefail

../asr_prune1/run.sh \
    --local_data_opts "--intents true" \
    --use_intent true \
    "$@"

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Distillation: layer matching, losses on hidden states and logits, the teacher."""

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The ESPnet task, model and trainer, with hooks and safe checkpoints."""

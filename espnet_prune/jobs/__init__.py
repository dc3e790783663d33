# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Jobs: launched here or by slurm, side by side, or split by utterances."""

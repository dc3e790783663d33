# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Models of CTC that transformers has saved, as experiments of ESPnet, and back."""

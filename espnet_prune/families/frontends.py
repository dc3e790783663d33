# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Frontends of ESPnet that are whole self-supervised models: no part of an encoder."""

from typing import Any

from espnet_prune.utils import UserError

SSL_FRONTENDS = ("S3prlFrontend", "HuggingFaceFrontend", "ESPnetSSLFrontend")


def refuse_frontend(model: Any) -> None:
    """Say how to prune a self-supervised model that ESPnet runs as frontend.

    Args:
        model: An encoder, a frontend, or a model with a frontend.

    Raises:
        UserError: The frontend is of that kind.
    """
    kind = type(getattr(model, "frontend", model)).__name__
    if kind in SSL_FRONTENDS:
        raise UserError(
            f"{kind} cannot be pruned where it is; make its model the encoder: set "
            "frontend: null, input_size: 1, encoder: pruned_wav2vec2 and in "
            "encoder_conf model and weights, and train once more (README, "
            "Self-supervised encoders)"
        )

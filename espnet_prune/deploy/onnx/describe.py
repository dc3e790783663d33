# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""`config.json` and `tokens.txt`: what a runtime must know of a deployed model."""

from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from torch import nn

from espnet_prune.deploy.onnx.encoder import Model
from espnet_prune.deploy.onnx.export import min_input
from espnet_prune.measure.duration import rate_of
from espnet_prune.utils import PathLike, UserError, atomic_write

CONFIG, TOKENS, BPE = "config.json", "tokens.txt", "bpe.model"
# how a beam search goes, unless a configuration of ESPnet's decoding says otherwise
DECODING = {
    "beam_size": 10,
    "ctc_weight": 0.3,
    "penalty": 0.0,
    "maxlenratio": 0.0,
    "minlenratio": 0.0,
}
_FEATURE_MS = 10.0  # of features that were made elsewhere


def decoder_of(model: nn.Module) -> Optional[str]:
    """Return "attention", "transducer" or None: what decodes beside CTC."""
    if getattr(model, "joint_network", None) is not None:
        return "transducer"
    return None if getattr(model, "decoder", None) is None else "attention"


def described(
    model: nn.Module,
    config: Mapping[str, Any],
    exported: Model,
    feature_size: Optional[int],
) -> Dict[str, Any]:
    """Return the content of `config.json` as far as the encoder goes.

    Args:
        model: ESPnet's model.
        config: Content of its config.yaml.
        exported: What `model.onnx` is.
        feature_size: Width of its features, if it takes these.
    """
    rate = rate_of(config)
    step = 1
    for _, stride in exported.encoder.embed.chain:
        step *= stride
    if exported.front is not None:
        step *= exported.front.hop
    frame_ms = 1000 * step / rate if exported.speech else _FEATURE_MS * step
    bpe = config.get("token_type") == "bpe"
    return {
        "format": 1,
        "sample_rate": rate,
        "input": "speech" if exported.speech else "feats",
        "feature_size": None if exported.speech else feature_size,
        "frame_ms": frame_ms,
        "min_samples": min_input(exported),
        "blank": int(getattr(model, "blank_id", 0)),
        "sos": int(model.sos),
        "eos": int(model.eos),
        "token_type": config.get("token_type"),
        "space": "<space>",
        "bpe_model": BPE if bpe else None,
        "language": None,
        "ctc": model.ctc is not None,
        "decoder": decoder_of(model),
        "interctc": exported.encoder.taps,
        "files": {"model": {"fp32": "model.onnx"}},
        "decoding": dict(DECODING),
        "precision": "fp32",
        "sizes": {},
        "depths": {},
    }


def decoding_of(conf: Mapping[str, Any], where: PathLike) -> Dict[str, Any]:
    """Return how a beam search goes, from a configuration of ESPnet's decoding.

    Raises:
        UserError: A value is no number, or it asks for a language model.
    """
    found: Dict[str, Any] = dict(DECODING)
    for key in ("lm_weight", "ngram_weight"):
        if conf.get(key) and (conf.get("lm_file") or conf.get("ngram_file")):
            raise UserError(
                f"{where}: {key} {conf[key]}: deployed models decode without language "
                "model; leave it out"
            )
    for key, value in conf.items():
        if key in found:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UserError(f"{where}: {key} {value!r} is not a number")
            found[key] = type(found[key])(value)
    return found


def write_tokens(config: Mapping[str, Any], folder: Path) -> None:
    """Write `tokens.txt`, "symbol id" a line, and copy the model of the pieces.

    Raises:
        UserError: There is no such model.
    """
    with atomic_write(folder / TOKENS) as stream:
        for number, token in enumerate(config["token_list"]):
            stream.write(f"{token} {number}\n")
    if config.get("token_type") == "bpe":
        path = Path(str(config.get("bpemodel")))
        if not path.is_file():
            raise UserError(f"bpemodel {path} is not there; put it beside the model")
        with atomic_write(folder / BPE, "wb") as stream:
            stream.write(path.read_bytes())

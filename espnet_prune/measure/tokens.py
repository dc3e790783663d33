# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How many tokens a model writes in a second of audio, and so what a decoder costs.

They are those of the training text, where it is here. ESPnet has counted them before
training, in the shape files; where those are missing, so do we.
"""

from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Optional

from espnet_prune.data.speech import entries_of
from espnet_prune.data.tables import read_table
from espnet_prune.foreign import told
from espnet_prune.measure.duration import SECONDS, frames_of, rate_of
from espnet_prune.models import with_defaults
from espnet_prune.structure import Structure
from espnet_prune.tasks import task_of
from espnet_prune.utils import UserError

DEFAULT = 5.0  # a second, as families.decoder has it
MOST = 2000  # texts that are made tokens of
_FRAMES_PER_SECOND = 100  # of features that were made elsewhere


class Rate(NamedTuple):
    """Tokens in a second of audio.

    Attributes:
        tokens: How many.
        source: The file that says so, or that nothing does.
    """

    tokens: float
    source: str


def token_rate(config: Mapping[str, Any]) -> Rate:
    """Return the tokens in a second of a model's training data, 5 if it is not here.

    Args:
        config: Content of its config.yaml.
    """
    try:
        found = _from_shapes(config) or _from_text(config)
    except (UserError, OSError, ValueError):  # damaged, or no tokenizer
        found = None
    return found or Rate(DEFAULT, "assumed, there is no training data here")


def priced(structure: Structure, config: Mapping[str, Any], beam: int = 1) -> Structure:
    """Return a Structure whose decoder is priced for the tokens of its model.

    Args:
        structure: Of an encoder, which stays as it is, or of more.
        config: config.yaml of its model.
        beam: Hypotheses that are extended at every token.
    """
    if not any(stack.price.clock.tokens for stack in structure.stacks.values()):
        return structure
    tokens = token_rate(config).tokens * SECONDS / frames_of(config)
    return structure.with_tokens(tokens, beam)


def _sums(tokens: Mapping[str, int], seconds: Mapping[str, float], path: Path) -> Any:
    both = tokens.keys() & seconds.keys()
    audio = sum(seconds[utt] for utt in both)
    text = sum(tokens[utt] for utt in both)
    return Rate(text / audio, f"measured from {path}") if text and audio else None


def _from_shapes(config: Mapping[str, Any]) -> Optional[Rate]:
    """Read the shape files of the training, if they are here."""
    paths = [Path(path) for path in config.get("train_shape_file") or []]
    found = {path.name.partition("_shape")[0]: path for path in paths}
    if not {"speech", "text"} <= found.keys():
        return None
    speech, text = found["speech"], found["text"]
    if not (speech.is_file() and text.is_file()):
        return None
    seconds = {}
    for utt, shape in read_table(speech).items():
        length, *width = map(int, shape.split(","))
        features = width and config.get("frontend", "default") is None
        seconds[utt] = length / (_FRAMES_PER_SECOND if features else rate_of(config))
    tokens = {u: int(shape.split(",")[0]) for u, shape in read_table(text).items()}
    return _sums(tokens, seconds, text)


def _from_text(config: Mapping[str, Any]) -> Optional[Rate]:
    """Make tokens of some training texts whose audio has known lengths."""
    entries = entries_of(config, "train")
    path = next((Path(path) for path, name, _ in entries if name == "text"), None)
    if path is None or not path.is_file():
        return None
    samples = path.parent / "utt2num_samples"
    if not samples.is_file():
        return None
    rate = rate_of(config)
    seconds = {utt: int(n) / rate for utt, n in read_table(samples).items()}
    texts = read_table(path)
    keys = sorted(texts.keys() & seconds.keys())
    tokens: Dict[str, int] = {}
    with told(str(path), "give the tokenizer of the training"):
        process = (
            task_of(config)
            .espnet_class()
            .build_preprocess_fn(with_defaults(config), train=False)
        )
        for utt in keys[:: 1 + len(keys) // MOST]:
            tokens[utt] = len(process(utt, {"text": texts[utt]})["text"])
    return _sums(tokens, seconds, path)

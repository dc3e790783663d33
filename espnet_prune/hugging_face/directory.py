# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A directory that transformers has saved: what it says of a model, and its checks.

Only its files are read; transformers is not needed.
"""

from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from espnet_prune.encoders.saved import (
    CONFIG,
    FEATURES,
    FIXED,
    RATE,
    extractor_of,
    read_if_there,
    weights_file,
)
from espnet_prune.utils import UserError

# architecture -> its model_type
CLASSES = {
    "Wav2Vec2ForCTC": "wav2vec2",
    "HubertForCTC": "hubert",
    "WavLMForCTC": "wavlm",
}
VOCABULARY = "vocab.json"
_EXTRACTOR = "Wav2Vec2FeatureExtractor"
# keys of tokenizer_config.json that change what is meant, and what is taken over
_FIXED_TEXT: Mapping[str, Any] = {
    "tokenizer_class": "Wav2Vec2CTCTokenizer",
    "replace_word_delimiter_char": " ",
}


class Directory(NamedTuple):
    """What a directory says.

    Attributes:
        path: The directory.
        config: Content of config.json.
        weights: File of the weights.
        tokens: Token of every row of the head.
        blank: Token for nothing.
        unknown: Token for what is in no other, or None.
        delimiter: Token between words, or None.
        normalize: Whether the feature extractor normalises utterances.
    """

    path: Path
    config: Dict[str, Any]
    weights: Path
    tokens: Tuple[str, ...]
    blank: str
    unknown: Optional[str]
    delimiter: Optional[str]
    normalize: bool

    @property
    def preset(self) -> str:
        """The `model` of encoder_conf that has the sizes of an empty config.json."""
        return f"{CLASSES[self.config['architectures'][0]]}_base"


def is_saved(path: Path) -> bool:
    """Say whether a directory looks like one that transformers has saved."""
    return "model_type" in read_if_there(path / CONFIG)


def read_directory(path: Path) -> Directory:
    """Read what a directory says, but for the weights.

    Raises:
        UserError: A file is missing, or it is a model that is not taken over.
    """
    config = read_if_there(path / CONFIG)
    _check_model(path / CONFIG, config)
    normalize = _normalizes(path)
    weights = weights_file(path)
    text = read_if_there(path / "tokenizer_config.json")
    _check_fixed(path / "tokenizer_config.json", text, _FIXED_TEXT)
    named = {**read_if_there(path / "special_tokens_map.json"), **text}
    blank, unknown, delimiter = (
        _token(named.get(key, usual))
        for key, usual in (
            ("pad_token", "<pad>"),
            ("unk_token", "<unk>"),
            ("word_delimiter_token", "|"),
        )
    )
    tokens = _tokens(path, int(config.get("vocab_size", 32)))
    if blank not in tokens:
        raise UserError(
            f"--model {path}: {VOCABULARY} does not have pad_token '{blank}' of "
            "tokenizer_config.json; save the processor of the model there"
        )
    row, wanted = config.get("pad_token_id", 0), tokens.index(str(blank))
    if row != wanted:
        raise UserError(
            f"--model {path}: pad_token_id {row} of {CONFIG}, the blank of CTC, is not "
            f"the pad_token '{blank}' of tokenizer_config.json, which is {wanted}; "
            "save model and processor of one training"
        )
    if text.get("do_lower_case"):
        tokens = tuple(t if t in (blank, unknown) else t.lower() for t in tokens)
    more = str(blank), unknown, delimiter, normalize
    return Directory(path, config, weights, tokens, *more)


def _token(value: Any) -> Optional[str]:
    """Return a token, which may stand in a mapping that says more of it."""
    return value.get("content") if isinstance(value, dict) else value


def _check_model(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse models that compute something else.

    Raises:
        UserError: It is of another class, or has a key with another value.
    """
    found = config.get("architectures") or []
    if len(found) != 1 or found[0] not in CLASSES:
        raise UserError(
            f"--model {path.parent}: {path.name} has architectures "
            f"{', '.join(map(str, found)) or 'none'}; give a model of "
            f"{', '.join(CLASSES)}"
        )
    _check_fixed(path, config, FIXED)


def _check_fixed(
    path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    for key, value in wanted.items():
        if found.get(key, value) != value:
            raise UserError(
                f"--model {path.parent}: {path.name} has {key} {found[key]!r}, which "
                f"is not taken over; give a model with {value!r}"
            )


def _normalizes(path: Path) -> bool:
    """Say whether the feature extractor normalises utterances.

    Raises:
        UserError: It is not there, is of another kind, or is for another rate.
    """
    name, features = extractor_of(path)
    keys = ("do_normalize", "sampling_rate")
    if not features or any(features.get(key) is None for key in keys):
        raise UserError(
            f"--model {path}: no {FEATURES} with {' and '.join(keys)} is there, so "
            "what the model hears is unknown; save its processor there"
        )
    kind, rate = features.get("feature_extractor_type", _EXTRACTOR), features[keys[1]]
    if kind != _EXTRACTOR:
        raise UserError(
            f"--model {path}: {name} is of {kind}; only {_EXTRACTOR} is taken over"
        )
    if rate != RATE:
        raise UserError(
            f"--model {path}: {name} has sampling_rate {rate}; only models for "
            f"{RATE} Hz are taken over"
        )
    return bool(features["do_normalize"])


def _tokens(path: Path, size: int) -> Tuple[str, ...]:
    """Return the token of every row of the head.

    Raises:
        UserError: There is no vocabulary, or one that does not fit.
    """
    file = path / VOCABULARY
    if not file.is_file():
        raise UserError(
            f"--model {path}: no {VOCABULARY} is there, so what the rows of the head "
            "mean is unknown; save the processor of the model there"
        )
    rows = read_if_there(file)
    if any(not isinstance(row, int) for row in rows.values()):
        raise UserError(
            f"--model {path}: {VOCABULARY} has more than tokens and their rows, as for "
            "several languages; give a model with one vocabulary"
        )
    # what was added later may have no row
    added = read_if_there(path / "added_tokens.json")
    decoder = (
        read_if_there(path / "tokenizer_config.json").get("added_tokens_decoder") or {}
    )
    added.update((_token(value), int(row)) for row, value in decoder.items())
    rows = {**{t: r for t, r in added.items() if r < size}, **rows}
    if sorted(rows.values()) != list(range(size)):
        raise UserError(
            f"--model {path}: {VOCABULARY} has {len(rows)} tokens with rows up to "
            f"{max(rows.values(), default=-1)}, the head has {size} (vocab_size in "
            f"{CONFIG}); save model and processor of one training"
        )
    return tuple(sorted(rows, key=rows.__getitem__))

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Text from tokens, as ESPnet's tokenizers make it."""

from typing import Any, List, Sequence

from .errors import UserError
from .package import Package


class TextMaker:
    """Makes text of token ids.

    Args:
        package: The deployed model.

    Raises:
        UserError: A type of tokens that is not known, or sentencepiece or its model is
            missing.
    """

    def __init__(self, package: Package) -> None:
        self.tokens = package.tokens
        self.type = package.config.token_type
        self.space = package.config.space
        self.pieces: Any = None
        if self.type == "bpe":
            self.pieces = _pieces(package)
        elif self.type not in ("char", "word", "phn"):
            raise UserError(
                f"{package.folder}/config.json: token_type is {self.type!r}, must be "
                "char, bpe, word or phn"
            )

    def __call__(self, ids: Sequence[int]) -> str:
        """Return the text of token ids."""
        tokens = self.symbols(ids)
        if self.type == "bpe":
            return self.pieces.decode(tokens)
        if self.type == "word":
            return " ".join(tokens)
        if self.type == "char":
            tokens = [" " if token == self.space else token for token in tokens]
        return "".join(tokens)

    def symbols(self, ids: Sequence[int]) -> List[str]:
        """Return the tokens of ids."""
        return [self.tokens[i] for i in ids]


def _pieces(package: Package) -> Any:
    path = package.shared(package.config.bpe_model or "bpe.model")
    try:
        import sentencepiece
    except ImportError as error:
        raise UserError(
            f"{path}: the tokens are of sentencepiece, which is not installed; call "
            "pip install sentencepiece"
        ) from error
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{path}: is no model of sentencepiece; copy it again"
        ) from error

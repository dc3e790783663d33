# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Long audio: pieces that overlap, and one text of theirs."""

from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .package import Config

PIECE, OVERLAP = 30.0, 4.0  # seconds, where nothing else is asked for
# seconds by which a token may be heard earlier or later in the next piece
NEAR = 0.25


class Piece(NamedTuple):
    """Samples of a piece, and the number of the first one."""

    first: int
    samples: np.ndarray


class Token(NamedTuple):
    """A token's id, and the second at which it begins."""

    id: int
    time: float


def sizes_of(
    config: Config, piece: float = PIECE, overlap: float = OVERLAP
) -> Tuple[int, int]:
    """Return the samples of a piece and of an overlap, given in seconds.

    Pieces begin where frames begin, and so hear what the whole would hear.
    """
    rate = config.sample_rate
    frame = max(1, round(config.frame_ms * rate / 1000))
    size, shared = (round(s * rate / frame) * frame for s in (piece, overlap))
    return size, shared


def pieces(
    blocks: Iterable[np.ndarray], size: int, overlap: int, shortest: int = 1
) -> Iterator[Piece]:
    """Cut audio into pieces of one size; what is shorter is one piece.

    Only one piece is held, and the last block.

    Args:
        blocks: (S,) each.
        size: Samples of a piece.
        overlap: Samples that a piece has in common with the next.
        shortest: A last piece of fewer samples reaches back further.
    """
    first, held, before = 0, np.zeros(0, np.float32), np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        while len(held) > size:
            yield Piece(first, held[:size])
            step = size - overlap
            before, held, first = held[:step], held[step:], first + step
    if first and len(held) < shortest:
        more = before[len(held) - shortest :]
        first, held = first - len(more), np.concatenate([more, held])
    yield Piece(first, held)


def joined(
    before: List[Token],
    after: Sequence[Token],
    start: float,
    end: float,
    near: float = NEAR,
) -> List[Token]:
    """Join the tokens of a piece to those of the pieces before it.

    Both pieces hear what is said between two points of time. Of the tokens on which
    they agree there, one after the other, the longest row is taken; up to its middle
    the first piece is believed, from there on the second. Where they agree on nothing,
    the middle of the time is where one follows the other.

    Args:
        before: What was found so far, in order of time.
        after: What was found in the piece.
        start: Second at which the piece begins.
        end: Second at which the one before it ends.
        near: Seconds by which the times of one token may differ.
    """
    tail = sum(token.time < start - near for token in before)
    head = sum(token.time < end + near for token in after)
    middle = (start + end) / 2
    row = _agreement(before[tail:], after[:head], middle, near)
    if row is None:
        kept = [token for token in before if token.time < middle]
        return kept + [token for token in after if token.time >= middle]
    left, right = row
    return before[: tail + left] + list(after[right:])


def _agreement(
    left: Sequence[Token], right: Sequence[Token], middle: float, near: float
) -> Optional[Tuple[int, int]]:
    """Return where in both the middle of the longest row of equal tokens is."""
    best, place = (0, 0.0), None
    lengths = np.zeros((len(left) + 1, len(right) + 1), int)
    for i, one in enumerate(left):
        for j, other in enumerate(right):
            if one.id == other.id and abs(one.time - other.time) <= near:
                length = lengths[i + 1, j + 1] = lengths[i, j] + 1
                half = length // 2
                found = (length, -abs(left[i - half].time - middle))
                if found > best:
                    best, place = found, (i - half, j - half)
    return place

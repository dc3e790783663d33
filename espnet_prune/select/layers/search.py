# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The searches: by error rate, by the similarity matrix, by both, and by rule or order.

Block numbers are 1-based everywhere here. A set that the cut would refuse (`allowed`
says no) is never a candidate; what contains a refused set is refused, too.
"""

import itertools
import logging
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from espnet_prune.select.layers import coarse
from espnet_prune.select.layers.coarse import (
    Allowed,
    Removed,
    check_number,
    everything,
)
from espnet_prune.select.layers.conf import LayersConf
from espnet_prune.select.layers.evaluator import Evaluator, Result
from espnet_prune.utils import UserError


class Row(NamedTuple):
    """One removal set; what is not known of it is None."""

    removed: Removed
    score: Optional[float] = None
    error: Optional[float] = None
    loss: Optional[float] = None


class Found(NamedTuple):
    """What a search returns.

    Attributes:
        removed: The chosen set.
        rows: All candidates, the best first.
        evaluations: Sets whose error the search asked for.
        path: The best set by number of removed blocks, where the search gives one.
    """

    removed: Removed
    rows: List[Row]
    evaluations: int
    path: Dict[int, Row]


def expected_evaluations(conf: LayersConf, number: int, num_remove: int) -> int:
    """Return what a search costs in evaluations; an upper bound for comflp, and for
    all where the cut would refuse some sets.

    Backward elimination asks sum_{i<m} (N - i) times, as greedy layer pruning in the
    CoMFLP code does; CoMFLP as often as it has candidates, whatever the depth.
    """
    if conf.search in ("iterative", "greedy"):
        return sum(number - i for i in range(num_remove))
    if conf.search == "nested":
        return num_remove
    if conf.search == "sensitivity":
        return number
    if conf.search == "exhaustive":
        return math.comb(number, num_remove)
    if conf.search == "comflp":
        wanted = conf.max_evaluations if conf.refine else conf.top_k
        return min(wanted, math.comb(number, num_remove))
    return 0


def truncate(number: int, num_remove: int) -> Removed:
    """Remove the last blocks."""
    return tuple(range(number - num_remove + 1, number + 1))


def alternate(number: int, num_remove: int) -> Removed:
    """Remove blocks at even distances, the last block among them."""
    return tuple(number * (i + 1) // num_remove for i in range(num_remove))


def iterative(
    evaluator: Evaluator, num_remove: int, allowed: Allowed = everything
) -> Found:
    """Backward elimination: again and again drop the block that is missed least."""
    evaluator.restart()
    removed: Removed = ()
    rows: List[Row] = []
    path: Dict[int, Row] = {}
    for n in range(1, num_remove + 1):
        left = [b for b in range(1, evaluator.number + 1) if b not in removed]
        sets = [tuple(sorted((*removed, block))) for block in left]
        sets = list(filter(allowed, sets))
        found = _ranked(sets, evaluator.evaluate(sets))
        rows = found
        path[n] = found[0]
        removed = found[0].removed
        logging.info(
            f"{n} of {num_remove} blocks removed: {list(removed)}, "
            f"error {100 * found[0].error:.2f} %"
        )
    return Found(removed, rows, evaluator.evaluations, path)


def nested(evaluator: Evaluator, num_remove: int, order: Sequence[int]) -> Found:
    """Let blocks go in the order of a training for depth; only their error is asked.

    Args:
        evaluator: Evaluates every depth.
        num_remove: How many go.
        order: The blocks in the order in which they go, 1-based.
    """
    evaluator.restart()
    sets = [tuple(sorted(order[:n])) for n in range(1, num_remove + 1)]
    results = zip(sets, evaluator.evaluate(sets))
    path = {len(r): Row(r, None, found.error, found.loss) for r, found in results}
    last = path[num_remove]
    return Found(last.removed, [last], evaluator.evaluations, path)


def sensitivity(
    evaluator: Evaluator,
    num_remove: int,
    forbid_adjacent: bool = False,
    allowed: Allowed = everything,
) -> Found:
    """Measure every block alone, remove those that are missed least."""
    evaluator.restart()
    number = evaluator.number
    singles = [(block,) for block in range(1, number + 1) if allowed((block,))]
    rows = _ranked(singles, evaluator.evaluate(singles))
    picked: List[int] = []
    for near in (True, False):  # a second round takes neighbours, if too few are left
        for row in rows:
            block = row.removed[0]
            touches = any(abs(block - other) == 1 for other in picked)
            barred = near and forbid_adjacent and touches
            barred = barred or not allowed(tuple(sorted((*picked, block))))
            if len(picked) < num_remove and block not in picked and not barred:
                picked.append(block)
    removed = tuple(sorted(picked))
    return Found(removed, rows, evaluator.evaluations, {})


def exhaustive(
    evaluator: Evaluator, num_remove: int, allowed: Allowed = everything
) -> Found:
    """Evaluate every set; what the others are measured against."""
    evaluator.restart()
    blocks = range(1, evaluator.number + 1)
    sets = list(filter(allowed, itertools.combinations(blocks, num_remove)))
    rows = _ranked(sets, evaluator.evaluate(sets))
    return Found(rows[0].removed, rows, evaluator.evaluations, {num_remove: rows[0]})


def candidates(
    matrix: np.ndarray,
    num_remove: int,
    conf: LayersConf,
    seed: int = 0,
    allowed: Allowed = everything,
) -> List[coarse.Candidate]:
    """Coarse search: the best sets by the matrix alone."""
    if conf.coarse == "beam":
        return coarse.beam(matrix, num_remove, conf.top_k, conf.beam, allowed)
    if conf.coarse == "exhaustive":
        return coarse.exhaustive(matrix, num_remove, conf.top_k, allowed)
    if conf.coarse == "random":
        number = len(matrix) - 1
        sets = coarse.random_sets(number, num_remove, conf.top_k, seed, allowed)
        return [coarse.Candidate(coarse.score(matrix, r), r) for r in sets]
    return coarse.k_best(matrix, num_remove, conf.top_k, allowed)


def comflp(
    matrix: np.ndarray,
    evaluator: Evaluator,
    num_remove: int,
    conf: LayersConf,
    seed: int = 0,
    allowed: Allowed = everything,
) -> Found:
    """Coarse candidates, judged by error rate, and swaps around the best of them.

    The swaps are ours: they spend what is left of `max_evaluations`, the most
    promising by the matrix first.
    """
    evaluator.restart()
    first = candidates(matrix, num_remove, conf, seed, allowed)
    if conf.refine:
        first = first[: max(1, (conf.max_evaluations + 1) // 2)]
    scores = {c.removed: c.score for c in first}
    tried = dict(zip(scores, evaluator.evaluate(list(scores))))
    while conf.refine and len(tried) < conf.max_evaluations:
        best = min(tried, key=lambda r: (*tried[r], r))
        near = [r for r in swaps(best, evaluator.number) if r not in tried]
        near = list(filter(allowed, near))
        if not near:
            break
        scores.update({r: coarse.score(matrix, r) for r in near})
        following = max(near, key=lambda r: (scores[r], [-b for b in r]))
        tried[following] = evaluator(following)
    rows = _ranked(list(tried), list(tried.values()))
    rows = [row._replace(score=scores[row.removed]) for row in rows]
    warn_if_blind(rows)
    chosen = rows[0]
    return Found(chosen.removed, rows, evaluator.evaluations, {num_remove: chosen})


def swaps(removed: Sequence[int], number: int) -> List[Removed]:
    """Return the sets that differ by one block put back and another taken."""
    kept = [b for b in range(1, number + 1) if b not in removed]
    return [
        tuple(sorted({*removed, taken} - {back})) for back in removed for taken in kept
    ]


def rank_correlation(rows: Sequence[Row]) -> Optional[float]:
    """Spearman correlation of score and accuracy; None with less than three rows."""
    from scipy.stats import spearmanr

    known = [(row.score, -row.error) for row in rows if row.score is not None]
    if len(known) < 3 or any(len(set(values)) < 2 for values in zip(*known)):
        return None
    return float(spearmanr(*zip(*known)).statistic)


def warn_if_blind(rows: Sequence[Row], least: float = 0.3) -> None:
    """Tell how well the scores rank the candidates that were evaluated."""
    value = rank_correlation(rows)
    if value is None:
        return
    text = f"rank correlation of score and accuracy over {len(rows)} sets: {value:+.2f}"
    if value < least:
        logging.warning(
            f"{text}; the matrix hardly ranks them: raise max_evaluations, take more "
            "utterances for the matrix, or use search: iterative"
        )
    else:
        logging.info(text)


def _ranked(sets: Sequence[Removed], results: Sequence[Result]) -> List[Row]:
    rows = [Row(r, None, result.error, result.loss) for r, result in zip(sets, results)]
    return sorted(rows, key=lambda row: (row.error, row.loss, row.removed))


def search(
    conf: LayersConf,
    num_remove: int,
    number: int,
    evaluator: Optional[Evaluator] = None,
    matrix: Optional[np.ndarray] = None,
    seed: int = 0,
    allowed: Allowed = everything,
    order: Sequence[int] = (),
) -> Found:
    """Run the search that `conf` names.

    Args:
        conf: Which search, and how.
        num_remove: Blocks to remove.
        number: Blocks of the model.
        evaluator: For the searches by error rate.
        matrix: (N+1, N+1), for comflp.
        seed: For the random search.
        allowed: Whether the cut would take a set.
        order: In which blocks go, for nested.

    Raises:
        UserError: `num_remove` is not between 1 and number - 1, or the cut would refuse
            the only set that a rule or the order gives.
    """
    check_number(number, num_remove)
    by_rule: Dict[str, Any] = {
        "truncate": lambda: truncate(number, num_remove),
        "alternate": lambda: alternate(number, num_remove),
        "random": lambda: coarse.random_sets(number, num_remove, 1, seed, allowed)[0],
        "nested": lambda: tuple(sorted(order[:num_remove])),
    }
    if conf.search in by_rule:
        removed = by_rule[conf.search]()
        if not allowed(removed):
            raise UserError(
                f"layers_conf: search {conf.search} would remove blocks "
                f"{list(removed)}, but self-conditioned intermediate CTC needs a block "
                "before and after each of its taps (interctc_layer_idx); take another "
                "num_remove, or search: iterative"
            )
        if conf.search == "nested":
            return nested(evaluator, num_remove, order)
        return Found(removed, [Row(removed)], 0, {})
    if conf.search == "comflp":
        return comflp(matrix, evaluator, num_remove, conf, seed, allowed)
    if conf.search == "sensitivity":
        return sensitivity(evaluator, num_remove, conf.forbid_adjacent, allowed)
    if conf.search == "exhaustive":
        return exhaustive(evaluator, num_remove, allowed)
    return iterative(evaluator, num_remove, allowed)

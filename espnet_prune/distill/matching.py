# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Which student block learns from which teacher block.

The variants follow CoFi (Xia et al. 2022): `fixed`, `nearest` (each teacher block
takes the student block with the smallest distance) and `nearest_in_order` (the same
under the condition that the order of blocks is kept). Only student blocks that still
exist take part.
"""

from typing import List, Optional, Sequence, Tuple

import torch

MATCHINGS = ("fixed", "nearest", "nearest_in_order")
Pairs = List[Tuple[int, int]]


def match_fixed(
    layers: Sequence[int],
    exists: Sequence[bool],
    num_teacher: int,
    kept_blocks: Optional[Sequence[int]] = None,
) -> Pairs:
    """Match by position.

    Args:
        layers: Teacher blocks, 0-based.
        exists: For every student block, whether anything of it is left.
        num_teacher: Number of teacher blocks.
        kept_blocks: Teacher index of every student block, when blocks were removed.

    Returns:
        Pairs: (position in `layers`, student block). A teacher block whose student
        block is gone has no pair. Without `kept_blocks`, student blocks are spread
        evenly over the teacher's, the last one matching the last.
    """
    num_student = len(exists)
    if kept_blocks is None or len(kept_blocks) != num_student:
        kept_blocks = [
            -(-(j + 1) * num_teacher // num_student) - 1 for j in range(num_student)
        ]
    position = {int(t): j for j, t in enumerate(kept_blocks)}
    return [
        (i, position[t])
        for i, t in enumerate(layers)
        if t in position and exists[position[t]]
    ]


def match_nearest(distance: torch.Tensor, exists: Sequence[bool]) -> Pairs:
    """Match every teacher block with the nearest existing student block.

    Args:
        distance: (H, S) distances of teacher and student states.
        exists: For every student block, whether anything of it is left.
    """
    candidates = [j for j, alive in enumerate(exists) if alive]
    if not candidates:
        return []
    chosen = distance[:, candidates].argmin(dim=1).tolist()
    return [(i, candidates[j]) for i, j in enumerate(chosen)]


def match_in_order(distance: torch.Tensor, exists: Sequence[bool]) -> Pairs:
    """Match with the smallest total distance such that the order is kept.

    Dynamic programming. The student indices rise strictly where enough blocks exist,
    otherwise a student block may serve several teacher blocks in a row.

    Args:
        distance: (H, S) distances of teacher and student states.
        exists: For every student block, whether anything of it is left.
    """
    candidates = [j for j, alive in enumerate(exists) if alive]
    if not candidates:
        return []
    cost = distance[:, candidates].double().tolist()
    num_teacher, num_student = len(cost), len(candidates)
    step = 1 if num_student >= num_teacher else 0
    infinite = float("inf")
    best = list(cost[0])
    history: List[List[int]] = []
    for i in range(1, num_teacher):
        following, origin = [infinite] * num_student, [-1] * num_student
        running, argument = infinite, -1
        for j in range(num_student):
            k = j - step
            if k >= 0 and best[k] < running:
                running, argument = best[k], k
            if argument >= 0:
                following[j], origin[j] = running + cost[i][j], argument
        history.append(origin)
        best = following
    j = min(range(num_student), key=best.__getitem__)
    chosen = [j]
    for origin in reversed(history):
        j = origin[j]
        chosen.append(j)
    chosen.reverse()
    return [(i, candidates[j]) for i, j in enumerate(chosen)]

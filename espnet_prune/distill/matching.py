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
    teacher_blocks: Sequence[int],
    kept_blocks: Optional[Sequence[int]] = None,
) -> Pairs:
    """Match by block number.

    Args:
        layers: Teacher blocks, 0-based positions.
        exists: For every student block, whether anything of it is left.
        teacher_blocks: Number of every teacher block in the model that it was cut from;
            0, 1, ... if it was not cut.
        kept_blocks: The same of every student block, if it is known.

    Returns:
        Pairs: (position in `layers`, student block). A teacher block whose student
        block is removed has no pair. Where the numbers of student blocks are not
        known, or not those of the teacher, student blocks are spread evenly over the
        teacher's, the last one matching the last.
    """
    num_student, num_teacher = len(exists), len(teacher_blocks)
    if (
        kept_blocks is None
        or len(kept_blocks) != num_student
        or not set(kept_blocks) <= set(teacher_blocks)
    ):
        kept_blocks = [
            teacher_blocks[-(-(j + 1) * num_teacher // num_student) - 1]
            for j in range(num_student)
        ]
    position = {int(t): j for j, t in enumerate(kept_blocks)}
    matched = [position.get(int(teacher_blocks[t])) for t in layers]
    return [(i, j) for i, j in enumerate(matched) if j is not None and exists[j]]


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

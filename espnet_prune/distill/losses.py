# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Distillation losses, all in fp32 and over valid frames or tokens only."""

from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F


def valid_mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Mark the frames (or tokens) that are not padding.

    Args:
        lengths: Valid lengths (#batch,).
        size: Padded length L.

    Returns:
        torch.Tensor: Boolean mask (#batch, L), True where valid.
    """
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def gather_valid(hidden: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """Stack hidden states and drop the padding.

    Args:
        hidden: H tensors (#batch, L, D).
        mask: Valid frames (#batch, L).

    Returns:
        torch.Tensor: (H, N, D) in fp32, N = number of valid frames.
    """
    return torch.stack([h[mask].float() for h in hidden])


def l1_cosine(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference plus one minus the mean cosine.

    DPHuBERT's form (Peng et al., Interspeech 2023; METHODS C.3) shifted by 1, so that
    equal states give 0 and not -1.

    Args:
        student: (N, D).
        teacher: (N, D).

    Returns:
        torch.Tensor: Scalar.
    """
    return (
        F.l1_loss(student, teacher) + 1.0 - F.cosine_similarity(student, teacher).mean()
    )


DISTANCES = {"mse": F.mse_loss, "l1_cosine": l1_cosine}


def hidden_loss(
    pairs: Sequence[Tuple[torch.Tensor, torch.Tensor]], distance: str = "mse"
) -> torch.Tensor:
    """Mean distance of matched hidden states.

    Args:
        pairs: (student, teacher), at least one; each (N, D) with N valid frames.
        distance: A key of `DISTANCES`.

    Returns:
        torch.Tensor: Scalar in fp32, mean over the pairs.
    """
    measure = DISTANCES[distance]
    return sum(measure(s.float(), t.float()) for s, t in pairs) / len(pairs)


def logit_kl(
    student: torch.Tensor,
    teacher: torch.Tensor,
    mask: torch.Tensor,
    temperature: float = 1.0,
    blank_id: int = -1,
) -> torch.Tensor:
    """Kullback-Leibler divergence from teacher to student distributions.

    temperature^2 * mean over valid positions of
    KL(softmax(teacher / temperature) || softmax(student / temperature)),
    as in Hinton et al. 2015.

    Args:
        student: Logits (#batch, L, V).
        teacher: Logits (#batch, L, V), no gradient.
        mask: Valid positions (#batch, L).
        temperature: Softening of both distributions, > 0.
        blank_id: When >= 0, positions are weighted by one minus the teacher's
            probability of this symbol (at temperature 1), so that the many blank
            frames of CTC do not dominate.

    Returns:
        torch.Tensor: Scalar in nats.
    """
    student, teacher = student[mask].float(), teacher[mask].float()
    log_p = F.log_softmax(teacher / temperature, dim=-1)
    log_q = F.log_softmax(student / temperature, dim=-1)
    divergence = (log_p.exp() * (log_p - log_q)).sum(-1)
    if blank_id >= 0:
        weight = position_weights(teacher, blank_id)
        divergence = (divergence * weight).sum() / weight.sum().clamp_min(1e-6)
    else:
        divergence = divergence.mean()
    return temperature**2 * divergence


def position_weights(teacher: torch.Tensor, blank_id: int = -1) -> torch.Tensor:
    """Return how much each position counts in `logit_kl`.

    Args:
        teacher: Logits of valid positions (N, V).
        blank_id: See `logit_kl`.

    Returns:
        torch.Tensor: (N,).
    """
    if blank_id < 0:
        return teacher.new_ones(len(teacher), dtype=torch.float)
    return 1.0 - teacher.float().softmax(-1)[:, blank_id]


def pairwise_mse(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of every teacher state with every student state.

    Args:
        teacher: (H, N, D).
        student: (S, N, D).

    Returns:
        torch.Tensor: (H, S), detached.
    """
    with torch.no_grad():
        a, b = teacher.flatten(1), student.flatten(1)
        squares = a.square().sum(1)[:, None] + b.square().sum(1)[None, :]
        return (squares - 2.0 * a @ b.T).clamp_min(0.0) / a.size(1)


def default_layers(num_blocks: int, count: int = 4) -> List[int]:
    """Pick `count` evenly spaced blocks that end at the last one.

    Example:
        >>> default_layers(12, 4)
        [2, 5, 8, 11]
    """
    count = min(count, num_blocks)
    return [round((i + 1) * num_blocks / count) - 1 for i in range(count)]

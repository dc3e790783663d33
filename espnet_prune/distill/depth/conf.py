# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The keys of `--depth_conf`, and which blocks run at which depth by them."""

import dataclasses
import random
from typing import Any, Dict, List, Mapping, Optional, Union

from espnet_prune.runtime.reader import read_as
from espnet_prune.units.blocks import check_blocks, kept_after
from espnet_prune.utils import UserError, check_keys

KEY = "depth_conf"


def first(number: int) -> List[int]:
    """Let the last block go first, so that the first ones run at every depth."""
    return list(range(number, 0, -1))


def even(number: int) -> List[int]:
    """Let blocks go so that those that stay are spread evenly, with both ends.

    Example:
        >>> even(6)
        [5, 2, 4, 3, 6, 1]
    """
    stays = [1, number][:number]
    while len(stays) < number:
        ends = sorted(stays)
        gap = max(zip(ends, ends[1:]), key=lambda pair: pair[1] - pair[0])
        stays.append(sum(gap) // 2)
    return stays[::-1]


ORDERS = {"first": first, "even": even}


@dataclasses.dataclass(frozen=True)
class DepthConf:
    """Which shallower depths a training runs beside the whole, and what they learn.

    Attributes:
        order: The blocks in the order in which they go, 1-based; or "first": the last
            one goes first, or "even": those that stay are spread evenly.
        min_depth: The smallest depth; absent: a third of the blocks.
        draws: Random depths of each step, all different.
        sandwich: Run the smallest depth in each step, too.
        w_ctc: Weight of the CTC loss of the shallow passes on the labels.
        w_kd: Weight of their divergence from the CTC posteriors of the whole.
    """

    order: Union[str, List[int]] = "first"
    min_depth: Optional[int] = None
    draws: int = 1
    sandwich: bool = True
    w_ctc: float = 0.5
    w_kd: float = 0.5

    @classmethod
    def from_dict(cls, data: Optional[Mapping[str, Any]]) -> "DepthConf":
        """Check what does not depend on a model, and build.

        Raises:
            UserError: An unknown key or order, or a value out of range.
        """
        conf = cls(**read_as(cls, data, KEY))
        if isinstance(conf.order, str):
            check_keys([conf.order], ORDERS, f"{KEY}: order")
        if conf.min_depth is not None and conf.min_depth < 1:
            raise UserError(f"{KEY}: min_depth is {conf.min_depth}, must be 1 or more")
        if conf.draws < 0 or conf.draws + conf.sandwich < 1:
            raise UserError(
                f"{KEY}: draws is {conf.draws}, and no depth but the whole would run; "
                "set it to 1 or more"
            )
        if not (min(conf.w_ctc, conf.w_kd) >= 0 and max(conf.w_ctc, conf.w_kd) > 0):
            raise UserError(
                f"{KEY}: w_ctc and w_kd must be 0 or more, and one of them above 0"
            )
        return conf

    def of(self, number: int) -> "DepthConf":
        """Return it with the order and the smallest depth of a model.

        Args:
            number: Blocks of the encoder.

        Raises:
            UserError: The smallest depth is none of a model of that many blocks, or
                the order names other blocks or too few.
        """
        least = self.min_depth or max(1, number // 3)
        if not least < number:
            raise UserError(
                f"{KEY}: min_depth {least} is none of an encoder of {number} blocks; "
                f"set it below {number}"
            )
        goes = self.order
        if isinstance(goes, str):
            goes = ORDERS[goes](number)
        check_blocks(goes, number, f"{KEY}: order")
        if len(goes) < number - least:
            raise UserError(
                f"{KEY}: order names {len(goes)} blocks, and {number - least} go at "
                f"min_depth {least} of {number}; name them all"
            )
        goes = list(goes)[: number - least]
        return dataclasses.replace(self, order=goes, min_depth=least)

    def kept(self, depth: int, number: int) -> List[int]:
        """Return the blocks that run at a depth, 0-based; `of` comes before."""
        return kept_after(self.order[: number - depth], number)

    def draw(self, number: int, seed: int, step: int) -> List[int]:
        """Return the depths of a step, the random ones last; `of` comes before.

        They follow the seed and the step alone: the same on all ranks, after a resume,
        and whatever else is drawn.
        """
        always = [self.min_depth] if self.sandwich else []
        others = range(self.min_depth + len(always), number)
        chance = random.Random(f"{seed} {step}")
        return always + chance.sample(others, min(self.draws, len(others)))

    def written(self) -> Dict[str, Any]:
        """Return it as a configuration has it."""
        return dataclasses.asdict(self)


def trained_order(config: Mapping[str, Any], number: int, num_remove: int) -> List[int]:
    """Return the blocks of a trained model in the order in which they go, 1-based.

    Args:
        config: Its config.yaml.
        number: Blocks of its encoder.
        num_remove: How many are to go.

    Raises:
        UserError: It was not trained with `depth_conf`, or not at such a depth.
    """
    if not config.get(KEY):
        raise UserError(
            f"layers_conf: search nested takes the order that {KEY} had in training, "
            f"and this model's config.yaml has no {KEY}; take search: iterative"
        )
    conf = DepthConf.from_dict(config[KEY]).of(number)
    if number - num_remove < conf.min_depth:
        raise UserError(
            f"num_remove {num_remove} leaves {number - num_remove} blocks, and the "
            f"smallest depth of this model's training ({KEY}: min_depth) is "
            f"{conf.min_depth}; remove at most {number - conf.min_depth}"
        )
    return list(conf.order)

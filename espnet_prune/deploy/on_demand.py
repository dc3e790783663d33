# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Depth on demand: one set of weights, any depth, chosen while running."""

import logging
from typing import Any, List, Optional, Sequence

from espnet_prune.deploy.caching import caching
from espnet_prune.deploy.depth_table import DepthTable
from espnet_prune.measure.duration import frames_of
from espnet_prune.strict import strict_loading
from espnet_prune.tasks import ASR, Task
from espnet_prune.units.blocks import blocks_of, check_blocks, set_blocks
from espnet_prune.utils import PathLike, UserError


class OnDemand:
    """What makes the depth of ESPnet's `Speech2Text` change between two calls.

    Changing the depth loads and copies no weights.

    Args:
        *files: config.yaml and checkpoint, as the first arguments of `Speech2Text`.
        depth: Blocks that run, by the depth table; all of them by default.
        keep_blocks: The blocks that run, 1-based, instead of a depth.
        depth_table: The table; by default depth_table.json beside the model.
        **others: cached_decoding, see `caching`; every other argument of
            `Speech2Text`, or the files by their names: asr_train_config and
            asr_model_file, and so on for other tasks.

    Raises:
        UserError: Both depth and blocks, a depth that the table does not have, or a
            table of other weights; or the checkpoint does not fit the config.
    """

    task: Task

    def __init__(
        self,
        *files: Optional[PathLike],
        depth: Optional[int] = None,
        keep_blocks: Optional[Sequence[int]] = None,
        depth_table: Optional[PathLike] = None,
        **others: Any,
    ) -> None:
        if depth is not None and keep_blocks is not None:
            raise UserError("give either depth or keep_blocks")
        with strict_loading():
            super().__init__(*files, **others)
        prefix = self.task.prefix_in(self)
        self._model = getattr(self, f"{prefix}_model")
        self._config = vars(getattr(self, f"{prefix}_train_args"))
        self._blocks = blocks_of(self._model.encoder)
        self._kept = list(range(len(self._blocks)))
        named = others.get(f"{self.task.prefix}_model_file")
        self._model_file = files[1] if len(files) > 1 else named
        self._table_file = depth_table
        self._table: Optional[DepthTable] = None
        if depth is not None:
            self.set_depth(depth)
        elif keep_blocks is not None:
            self.set_blocks(keep_blocks)

    @property
    def blocks(self) -> List[int]:
        """Blocks that run, 1-based."""
        return [i + 1 for i in self._kept]

    @property
    def depth_table(self) -> DepthTable:
        """The table of depths.

        Raises:
            UserError: There is none, or it does not fit the model.
        """
        if self._table is None:
            path = self._table_file
            if path is None:
                path = DepthTable.beside(self._model_file)
            table = DepthTable.load(path, self._model_file)
            if table.number != len(self._blocks):
                raise UserError(
                    f"{path} is for {table.number} blocks, the model has "
                    f"{len(self._blocks)}"
                )
            frames = frames_of(self._config)
            if table.frames != frames:
                raise UserError(
                    f"{path} was measured on {table.frames} frames, but 10 s are "
                    f"{frames} frames of this model (fs and hop_length of its "
                    "frontend_conf); make it again"
                )
            self._table = table
        return self._table

    def set_blocks(self, blocks: Sequence[int]) -> List[int]:
        """Run these blocks from now on, 1-based; returns them.

        Raises:
            UserError: No block, or a number out of range.
        """
        kept = check_blocks(blocks, len(self._blocks), "keep_blocks")
        if not kept:
            raise UserError("keep_blocks: keep at least one block")
        self._kept = [block - 1 for block in kept]
        set_blocks(self._model.encoder, self._blocks, self._kept)
        return self.blocks

    def set_depth(self, depth: int) -> List[int]:
        """Run the blocks that the table has for a depth; returns them.

        Raises:
            UserError: No table, or no such depth in it.
        """
        if depth == len(self._blocks):
            return self.set_blocks(range(1, depth + 1))
        return self.set_blocks(self.depth_table.at(depth).kept_blocks)

    def set_budget(
        self, ms: Optional[float] = None, macs: Optional[float] = None
    ) -> List[int]:
        """Run the most accurate depth that a budget for 10 s of audio allows.

        Args:
            ms: Encoder milliseconds on one thread, as the table has measured them.
            macs: Encoder MACs.

        Raises:
            UserError: No table, or a budget below its smallest depth.
        """
        entry = self.depth_table.within(ms=ms, macs=macs)
        logging.info(f"depth {entry.depth}: {entry.ms:.1f} ms, {entry.macs:,} MACs")
        return self.set_blocks(entry.kept_blocks)


def on_demand(task: Task) -> Any:
    """Return ESPnet's class that decodes for a task, with `OnDemand`."""
    return type(f"OnDemand{task.decoder}", (OnDemand, caching(task)), {})


OnDemandSpeech2Text = on_demand(ASR)

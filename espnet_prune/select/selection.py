# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a selection has decided, and its files."""

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

import torch

from espnet_prune.structure import Structure
from espnet_prune.units import Masks, UnitGraph
from espnet_prune.utils import (
    PathLike,
    UserError,
    atomic_torch_save,
    load_tensors,
    read_json,
)

STRUCTURE, MASKS, WEIGHTS = "structure.json", "masks.pth", "weights.pth"


@dataclasses.dataclass
class Selection:
    """What stays of a module.

    Attributes:
        graph: Units of the module with nothing removed.
        masks: 0, 1 or a soft value for every unit, by name; one that is not named
            is 1.
        kept_blocks: Blocks of every stack that stay, by their numbers in `graph.dense`;
            those of a stack that is not named all stay.
        weights: All weights of the model, where the selection has changed them.
        record: What structure.json says of its origin.
        again: Makes the same selection for another budget, without what takes long;
            None if the method has to run again.
    """

    graph: UnitGraph
    masks: Masks
    kept_blocks: Mapping[str, List[int]] = dataclasses.field(default_factory=dict)
    weights: Optional[Mapping[str, torch.Tensor]] = None
    record: Dict[str, Any] = dataclasses.field(default_factory=dict)
    again: Optional[Callable[[Any], "Selection"]] = None

    def __post_init__(self) -> None:
        self.masks = self.graph.close({k: m.cpu() for k, m in self.masks.items()})

    @property
    def structure(self) -> Structure:
        """What remains: counted from the masks, so that the two cannot disagree."""
        blocks = {k: {"kept_blocks": list(v)} for k, v in self.kept_blocks.items()}
        return self.graph.structure(self.masks).with_widths(blocks)

    def save(self, folder: PathLike) -> None:
        """Write structure.json, masks.pth, and weights.pth if weights have changed.

        Raises:
            UserError: The directory holds another structure.
        """
        folder, structure = Path(folder), self.structure
        check_output(folder, structure)
        if self.weights is not None:
            atomic_torch_save(dict(self.weights), folder / WEIGHTS)
        atomic_torch_save(self.masks, folder / MASKS)
        structure.save(folder / STRUCTURE, **self.record)

    @classmethod
    def load(cls, folder: PathLike, graph: UnitGraph) -> "Selection":
        """Read what `save` has written, for the same module.

        The weights stay where they are, see `weights_of`.

        Raises:
            UserError: A file is missing, or they are not of one selection, or of
                another module.
        """
        folder = Path(folder)
        stored = Structure.load(folder / STRUCTURE)
        stored = graph.dense.with_widths(stored.widths())
        masks = load_tensors(folder / MASKS)
        record = read_json(folder / STRUCTURE).get("provenance", {})
        try:
            blocks = {k: s.kept_blocks for k, s in stored.own.items() if s.blocks}
            found = cls(graph, masks, blocks, record=record)
        except KeyError as error:
            raise UserError(
                f"{folder / MASKS}: {error.args[0]}; it is of another model, select "
                "again"
            ) from error
        for field, (ours, theirs) in found.structure.diff(stored).items():
            raise UserError(
                f"{folder}: {MASKS} keeps {ours} of {field}, and {STRUCTURE} says "
                f"{theirs}; take both from the same selection"
            )
        return found


def weights_of(folder: PathLike, model_file: PathLike) -> Path:
    """Return the weights that a selection goes with.

    Args:
        folder: Its directory.
        model_file: Checkpoint of the dense model.

    Raises:
        UserError: It was made from another checkpoint.
    """
    from espnet_prune.utils import sha256

    folder = Path(folder)
    record = read_json(folder / STRUCTURE).get("provenance", {})
    if record.get("dense_sha256") not in (None, sha256(model_file)):
        raise UserError(
            f"--select_dir {folder} was selected from another model than "
            f"{model_file}; give the model that it names ({record.get('dense_model')})"
        )
    weights = folder / WEIGHTS
    return weights if weights.exists() else Path(model_file)


def check_output(folder: Path, structure: Structure) -> None:
    """Refuse to write over the model of another structure.

    Raises:
        UserError: The directory holds another structure.
    """
    path = folder / STRUCTURE
    if path.exists() and Structure.load(path).widths() != structure.widths():
        raise UserError(
            f"{folder} holds a model of another structure; remove it or choose "
            "another --output_dir"
        )

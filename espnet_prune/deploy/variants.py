# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What goes into one deployed directory: a model, its sizes, its depths."""

import copy
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from torch import nn

from espnet_prune.deploy.depth_table import DepthTable
from espnet_prune.deploy.onnx.package import check_config
from espnet_prune.models import load_model, read_model_config
from espnet_prune.source import Source
from espnet_prune.units.blocks import with_blocks
from espnet_prune.utils import UserError

# what a size shares with the model that it was made of
_SHARED = ("token_list", "token_type", "bpemodel", "frontend", "frontend_conf")
ALL = "all"


class Variant(NamedTuple):
    """One model of a deployed directory.

    Attributes:
        kind: Key of `config.json` that lists it: sizes or depths; "" for the model.
        name: Its name there.
        folder: Its directory, "" for the one above all.
        source: Files of the model.
        blocks: Blocks that run, 0-based; None for all.
    """

    kind: str
    name: str
    folder: str
    source: Source
    blocks: Optional[List[int]] = None

    def load(
        self, task: Optional[str], decoder: bool = True
    ) -> Tuple[nn.Module, Dict[str, Any]]:
        """Return the model of ESPnet, and the content of its config.

        Args:
            task: ESPnet's task, or None for what it looks like.
            decoder: Whether its decoder is of interest.

        Raises:
            UserError: It cannot be read, or not be exported.
        """
        check_config(read_model_config(self.source.config, task), self.source.config)
        model, config = load_model(self.source.config, self.source.model_file, task)
        if self.blocks is not None:
            encoder = with_blocks(model.encoder, self.blocks)
            model = copy.copy(model)
            model._modules = {**model._modules, "encoder": encoder}
        if not decoder:
            model.decoder = model.joint_network = None
        return model, config


def variants(
    source: Source, sizes: Optional[str] = None, depths: Optional[str] = None
) -> List[Variant]:
    """Return all models of a deployed directory, the one above all first.

    Args:
        source: Files of that one.
        sizes: What `sizes` or `quick --sizes` wrote.
        depths: "all" of the depth table beside the model, or numbers, e.g. "6,8".

    Raises:
        UserError: There are no such sizes or depths, or sizes of another model.
    """
    found = [Variant("", "", "", source)]
    if sizes is not None:
        found += _sizes(source, Path(sizes))
    if depths is not None:
        found += _depths(source, depths)
    return found


def _sizes(source: Source, folder: Path) -> List[Variant]:
    places = folder / "sizes" if (folder / "sizes").is_dir() else folder
    there = sorted(path.parent for path in places.glob("*/config.yaml"))
    if not there:
        raise UserError(
            f"--sizes {folder}: there are no sizes; give the --output_dir of `sizes`, "
            "or of `quick --sizes`"
        )
    kinds = {path.name.partition("_")[0] for path in there}
    dense, found = read_model_config(source.config), []
    for path in there:
        config = read_model_config(path / "config.yaml")
        for key in _SHARED:
            if config.get(key) != dense.get(key):
                raise UserError(
                    f"--sizes {folder}: {key} of {path.name} is not that of "
                    f"{source.config}; give sizes of the model that is deployed"
                )
        name = path.name if len(kinds) > 1 else path.name.partition("_")[2]
        files = Source(path / "config.yaml", path / "model.pth")
        found.append(Variant("sizes", name, f"size_{name}", files))
    return found


def _depths(source: Source, asked: str) -> List[Variant]:
    table = DepthTable.load(DepthTable.beside(source.model_file), source.model_file)
    wanted = [depth for depth in table.depths if depth < table.number]
    if asked != ALL:
        words = asked.replace(",", " ").split()
        if not words or not all(word.isdigit() for word in words):
            raise UserError(f"--depths {asked}: give numbers, e.g. 6,8, or all")
        wanted = [int(word) for word in words]
    found = []
    for depth in sorted(wanted, reverse=True):
        blocks = [block - 1 for block in table.at(depth).kept_blocks]
        folder = f"depth_{depth}"
        found.append(Variant("depths", str(depth), folder, source, blocks))
    return found

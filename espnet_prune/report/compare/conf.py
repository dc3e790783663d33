# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The YAML of a comparison: dense models, what all rows share, and the rows."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from espnet_prune.model_files import DEFAULT
from espnet_prune.runtime.reader import mapping, read_as
from espnet_prune.utils import UserError, check_keys, read_mapping

KINDS = {
    "prune": "select, cut, recover",
    "scratch": "stock encoder of the same size, as many epochs as pruning takes",
    "scratch_long": "the same, with the dense model's epochs in addition",
    "scratch_structure": "what the row `of` has cut, with new weights, as long",
    "dense_long": "the dense model, fine-tuned as long as all others",
    "dense_one": "the dense model, trained in one run as long as all others",
    "shallow": "the dense model with fewer blocks, trained anew",
    "blocks": "some blocks of a dense model, no training: table, first or random",
}
SHARED = ("select", "recover", "sizes", "seeds")  # what a row has from all


@dataclasses.dataclass(frozen=True)
class Row:
    """One method; `sizes` are percents removed or, of a depth comparison, blocks.

    There `select` of kind blocks makes a depth table of its own model.
    """

    kind: str = "prune"
    of: Optional[str] = None
    select: Optional[str] = None
    recover: Optional[str] = None  # or none: the row is what was cut
    cut: Optional[str] = None  # the row whose cut is recovered, instead of one's own
    budget: Union[dict, List[dict], None] = None  # see configs.select_conf
    units: Optional[List[str]] = None
    distill: bool = True
    effort: float = 1  # times what all have after the dense model; its label says it
    blocks: Optional[str] = None
    sizes: List[float] = dataclasses.field(default_factory=lambda: [0])
    seeds: List[Optional[int]] = dataclasses.field(default_factory=lambda: [0])
    label: Optional[str] = None  # what tables call it, by default its name
    name: str = ""
    place: int = 0


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a comparison is; see conf/compare*.yaml of the recipe an4."""

    rows: Dict[str, Any]
    dense: Any = None  # configuration of the dense model, or several by name
    dense_exp: Optional[str] = None  # instead: a model that is there
    sizes: List[float] = dataclasses.field(default_factory=list)
    seeds: List[Optional[int]] = dataclasses.field(default_factory=lambda: [0])
    select: Optional[str] = None
    recover: Optional[str] = None
    table: Optional[dict] = None  # a depth comparison: {of: MODEL, select: YAML}
    against: str = "dense"  # differences are to this row
    test_sets: List[str] = dataclasses.field(default_factory=list)
    inference_config: str = "conf/decode_asr.yaml"
    inference_asr_model: Optional[str] = None
    options: Dict[str, Any] = dataclasses.field(default_factory=dict)
    expdir: str = ""
    results: str = ""
    run: str = "./prune.sh"
    frames: Optional[int] = None  # of the utterance, by default those that make 10 s
    runs: int = 15  # timed runs per encoder
    columns: List[str] = dataclasses.field(default_factory=list)  # of its one table

    @property
    def exp(self) -> Path:
        """Where all models and configurations go."""
        return Path(self.expdir)

    @property
    def model(self) -> str:
        """File name of the checkpoints."""
        return self.inference_asr_model or DEFAULT

    @property
    def decode(self) -> str:
        """Name of the directories with decoded text."""
        if self.table:
            return "greedy"
        return f"{Path(self.inference_config).stem}_asr_model_{Path(self.model).stem}"

    @property
    def raw(self) -> Path:
        """Directory of the formatted sets."""
        return Path(self.options.get("dumpdir", "dump")) / "raw"


def make(data: Mapping[str, Any], where: str, name: str) -> Comparison:
    """Check what was read, and give to rows what they share.

    Args:
        data: See `Comparison`.
        where: File, for messages.
        name: Of the comparison, where expdir does not say it.

    Raises:
        UserError: An unknown key, a value of another type or an impossible one.
    """
    data = {**read_as(Comparison, data, where)}
    if not isinstance(data.get("dense"), dict):
        data["dense"] = {"dense": data.get("dense")}
    if not (data.get("dense_exp") or all(data["dense"].values())):
        raise UserError(f"{where}: key 'dense' is missing, a configuration to train")
    shared = {key: data[key] for key in SHARED if data.get(key)}
    rows: Dict[str, Row] = {}
    for key, given in mapping(data["rows"], where).items():
        at = f"{where}: rows: {key}"
        own = {"of": next(iter(data["dense"])), **shared, **read_as(Row, given, at)}
        sizes = own.get("sizes", [])
        if not data.get("table") and not all(0 < size < 100 for size in sizes):
            raise UserError(f"{at}: sizes are percents, above 0 and below 100")
        if own.get("kind") in ("dense_long", "dense_one"):
            own["sizes"] = [0]
        row = rows[key] = Row(**{"place": len(rows) + 1, **own, "name": key})
        _check(row, data, at)
    data["rows"] = rows
    data.setdefault("expdir", f"exp/{name}")
    data.setdefault("results", f"results/{Path(data['expdir']).name}")
    return Comparison(**data)


def _check(row: Row, data: Mapping[str, Any], at: str) -> None:
    check_keys([row.kind], KINDS, f"{at}: kind")
    of_row = row.kind == "scratch_structure"
    check_keys([row.of], data["rows"] if of_row else data["dense"], f"{at}: of")
    if row.kind == "blocks":
        check_keys([row.blocks], ("table", "first", "random"), f"{at}: blocks")
    if row.kind == "prune" and not row.select:
        raise UserError(f"{at}: key 'select' is missing, a YAML of the selection")
    if row.effort <= 0 or (row.effort != 1 and row.kind != "prune"):
        raise UserError(
            f"{at}: effort is above 0, and only a row that is pruned has its own"
        )
    if row.cut:
        check_keys([row.cut], data["rows"], f"{at}: cut")
        if row.kind != "prune":
            raise UserError(f"{at}: cut: only a row that is pruned has one")
    budgets = row.budget if isinstance(row.budget, list) else []
    if budgets and not any("size" in one.values() for one in budgets):
        raise UserError(
            f"{at}: budget: a list stands instead of that of 'select' and says itself "
            "what is removed; write size where a percent of `sizes` is meant"
        )


def read(path: str, changes: Mapping[str, Any], rows: Sequence[str]) -> Comparison:
    """Read a comparison.

    Args:
        path: YAML file.
        changes: Keys that replace those of the file; options are added to its own.
            Sizes and seeds hold for all rows.
        rows: Names of the rows that are wanted, in their order; all by default. With
            one comes the row whose cut or structure it takes.

    Raises:
        UserError: See `make`, or no such row.
    """
    data = read_mapping(path)
    at = f"{path}: rows"
    plain = {k: v for k, v in changes.items() if k in ("sizes", "seeds")}
    own = {
        name: {**mapping(row, f"{at}: {name}"), **plain}
        for name, row in mapping(data.get("rows"), at).items()
    }
    check_keys(rows, own, "--rows")
    options = {**(data.get("options") or {}), **changes.get("options", {})}
    data = {**data, **changes, "options": options, "rows": own}
    # all are read, so that a part has the places that it has among all
    c = make(data, str(path), Path(path).stem)
    wanted = list(rows or c.rows)
    for name in wanted:  # grows on the way
        row = c.rows[name]
        source = row.of if row.kind == "scratch_structure" else row.cut
        if source and source not in wanted:
            wanted.append(source)
    return dataclasses.replace(c, rows={name: c.rows[name] for name in wanted})

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The utterances of several sets, split over parallel jobs, and the jobs' results."""

from pathlib import Path
from typing import Dict, Optional, Sequence

from espnet_prune.data.corpus import whole_set
from espnet_prune.data.tables import Table, audio_kind, read_table, write_table
from espnet_prune.report import decoding
from espnet_prune.utils import UserError, read_mapping

REMEDY = "run the earlier stages first"


def split(
    dumpdir: Path, sets: Sequence[str], output: Path, jobs: int, by_set: bool
) -> int:
    """Write the lists of utterances; returns the number of jobs.

    Args:
        dumpdir: Holds SET/wav.scp, and maybe org/SET.
        sets: Names of the sets.
        output: Where logdir/ is made.
        jobs: How many jobs there are at most.
        by_set: Whether every set has lists of its own, for statistics.

    Raises:
        UserError: An utterance is in two sets that share lists.
    """
    logdir = output / "logdir"
    for old in logdir.glob("keys.*.scp"):
        old.unlink()
    # training's copy of a set lacks what training cannot use, decoding takes the whole
    find = Path.joinpath if by_set else whole_set
    tables = {s: read_table(find(dumpdir, s) / "wav.scp", REMEDY) for s in sets}
    if not by_set:
        every: Table = {}
        for name, table in tables.items():
            for key in sorted(table.keys() & every.keys()):
                raise UserError(
                    f"{whole_set(dumpdir, name)}/wav.scp: the utterance '{key}' "
                    "is in another set, too; decode the two in separate runs"
                )
            every.update(table)
        write_table(logdir / "wav.scp", every)
        tables = {"keys": every}
    number = min([jobs, *map(len, tables.values())])
    for name, table in tables.items():
        rows = list(table.items())
        edges = [i * len(rows) // number for i in range(number + 1)]
        for i, (a, b) in enumerate(zip(edges, edges[1:]), 1):
            write_table(logdir / f"{name}.{i}.scp", dict(rows[a:b]))
    return number


def kind(dumpdir: Path, sets: Sequence[str], model_config: Optional[Path]) -> str:
    """Return the type of the audio of all sets, as ESPnet calls it.

    Args:
        dumpdir: See `split`.
        sets: Names of the sets.
        model_config: config.yaml of the model that decodes them, if it is known.

    Raises:
        UserError: Some of it is in an ark and some not, or the model was trained on the
            other kind: ESPnet scales the two differently.
    """
    found: Dict[str, str] = {}
    for name in sets:
        path = whole_set(dumpdir, name) / "wav.scp"
        table = read_table(path, REMEDY)
        for key, value in table.items():
            found.setdefault(audio_kind(value), f"{path}: '{key}'")
    if len(found) > 1:
        raise UserError(
            f"{found['kaldi_ark']} is in an ark, {found['sound']} is not; write them "
            "in one format, or decode the sets in separate runs"
        )
    ((own, example),) = found.items()
    config = read_mapping(model_config) if model_config else {}
    for _, name, trained in config.get("train_data_path_and_name_and_type") or []:
        known = name == "speech" and trained in ("sound", "kaldi_ark")
        if known and trained != own:
            raise UserError(
                f"{example} is of type {own}, but {model_config} was trained on "
                f"{trained}, whose samples ESPnet scales differently; write the set as "
                "the training set is (--audio_format)"
            )
    return own


def collect(dumpdir: Path, sets: Sequence[str], output: Path) -> None:
    """Merge the jobs' results and sort them into the sets.

    Args:
        dumpdir: See `split`.
        sets: Names of the sets.
        output: The folder that `split` was given.

    Raises:
        UserError: An utterance has no result, or jobs were decoded differently.
    """
    logdir = output / "logdir"
    number = len(list(logdir.glob("keys.*.scp")))
    folders = [logdir / f"output.{job}" for job in range(1, number + 1)]
    decoding.collect(folders, output)
    for kind in ("text", "token", "token_int", "score"):
        found: Table = {}
        for folder in folders:
            found.update(read_table(folder / "1best_recog" / kind, REMEDY))
        for name in sets:
            keys = sorted(read_table(whole_set(dumpdir, name) / "wav.scp", REMEDY))
            missing = [key for key in keys if key not in found]
            if missing:
                raise UserError(
                    f"{logdir}: no {kind} for {len(missing)} utterances of {name}, "
                    f"the first is '{missing[0]}'"
                )
            write_table(output / name / kind, {key: found[key] for key in keys})

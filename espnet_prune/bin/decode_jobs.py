#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Split the utterances of several sets over parallel jobs, and collect the results.

`split` writes OUT/logdir/{wav.scp,keys.N.scp}, all sets in one list so that starting
a decoder is paid once per job and not once per job and set; with --by_set it writes
OUT/logdir/SET.N.scp instead. It prints the number of jobs, which is at most the number
of utterances. `collect` writes OUT/SET/{text,token,token_int,score} as asr.sh does.
Where DUMPDIR/org/SET is there, it is the whole set, and is decoded; --by_set, which is
for statistics, takes DUMPDIR/SET, the set of training. `kind` prints how ESPnet
reads the audio, sound or kaldi_ark; with --model_config it must be as in the training.
"""

import argparse
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from espnet_prune.data.corpus import whole_set
from espnet_prune.data.tables import audio_kind, read_table
from espnet_prune.report import decoding
from espnet_prune.utils import UserError, atomic_write, read_mapping, run_main


def read_keys(path: Path) -> Dict[str, str]:
    """Read a Kaldi table as {key: line}.

    Raises:
        UserError: See `read_table`.
    """
    table = read_table(path, remedy="run the earlier stages first")
    return {key: f"{key} {value}".rstrip() for key, value in table.items()}


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write lines atomically, creating the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        stream.writelines(line + "\n" for line in lines)


def parts(lines: List[str], number: int) -> List[List[str]]:
    """Split a list into `number` contiguous parts of nearly equal length."""
    edges = [i * len(lines) // number for i in range(number + 1)]
    return [lines[a:b] for a, b in zip(edges, edges[1:])]


def split(args: argparse.Namespace) -> int:
    """Write the key files; returns the number of jobs."""
    # training's copy of a set lacks what training cannot use, decoding takes the whole
    find = Path.joinpath if args.by_set else whole_set
    tables = {s: read_keys(find(args.dumpdir, s) / "wav.scp") for s in args.sets}
    logdir = args.output_dir / "logdir"
    if args.by_set:
        number = min([args.nj] + [len(table) for table in tables.values()])
        for name, table in tables.items():
            for i, part in enumerate(parts(list(table.values()), number), 1):
                write_lines(logdir / f"{name}.{i}.scp", part)
        return number
    every: Dict[str, str] = {}
    for name, table in tables.items():
        for key in table:
            if key in every:
                raise UserError(
                    f"{whole_set(args.dumpdir, name)}/wav.scp: the utterance '{key}' "
                    "is in another set, too; decode the two in separate runs"
                )
        every.update(table)
    number = min(args.nj, len(every))
    write_lines(logdir / "wav.scp", list(every.values()))
    for i, part in enumerate(parts(list(every.values()), number), 1):
        write_lines(logdir / f"keys.{i}.scp", part)
    return number


def kind(args: argparse.Namespace) -> str:
    """Return the type of the audio of all sets, as ESPnet calls it.

    Raises:
        UserError: Some of it is in an ark and some not, or the model was trained on the
            other kind: ESPnet scales the two differently.
    """
    found: Dict[str, str] = {}
    for name in args.sets:
        path = whole_set(args.dumpdir, name) / "wav.scp"
        table = read_table(path, remedy="run the earlier stages first")
        for key, value in table.items():
            found.setdefault(audio_kind(value), f"{path}: '{key}'")
    if len(found) > 1:
        raise UserError(
            f"{found['kaldi_ark']} is in an ark, {found['sound']} is not; write them "
            "in one format, or decode the sets in separate runs"
        )
    ((own, example),) = found.items()
    config = read_mapping(args.model_config) if args.model_config else {}
    for _, name, trained in config.get("train_data_path_and_name_and_type") or []:
        known = name == "speech" and trained in ("sound", "kaldi_ark")
        if known and trained != own:
            raise UserError(
                f"{example} is of type {own}, but {args.model_config} was trained on "
                f"{trained}, whose samples ESPnet scales differently; write the set as "
                "the training set is (--audio_format)"
            )
    return own


def collect(args: argparse.Namespace) -> None:
    """Merge the jobs' results and sort them into the sets.

    Raises:
        UserError: an utterance has no result, or jobs were decoded differently.
    """
    logdir = args.output_dir / "logdir"
    jobs = len(list(logdir.glob("keys.*.scp")))
    folders = [logdir / f"output.{job}" for job in range(1, jobs + 1)]
    decoding.collect(folders, args.output_dir)
    for kind in ("text", "token", "token_int", "score"):
        found: Dict[str, str] = {}
        for folder in folders:
            found.update(read_keys(folder / "1best_recog" / kind))
        for name in args.sets:
            keys = sorted(read_keys(whole_set(args.dumpdir, name) / "wav.scp"))
            missing = [key for key in keys if key not in found]
            if missing:
                raise UserError(
                    f"{logdir}: no {kind} for {len(missing)} utterances of {name}, "
                    f"the first is '{missing[0]}'"
                )
            write_lines(args.output_dir / name / kind, [found[key] for key in keys])


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["split", "kind", "collect"])
    parser.add_argument("--dumpdir", type=Path, required=True, help="holds SET/wav.scp")
    parser.add_argument("--sets", type=str.split, required=True, help="quoted list")
    parser.add_argument("--nj", type=int, default=1, help="number of jobs")
    parser.add_argument("--by_set", action="store_true", help="see above")
    parser.add_argument("--output_dir", type=Path, help="for split and collect")
    parser.add_argument("--model_config", type=Path, help="for kind")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    if args.action == "kind":
        print(kind(args))
    elif args.output_dir is None:
        parser.error("the following arguments are required: --output_dir")
    elif args.action == "split":
        for old in (args.output_dir / "logdir").glob("keys.*.scp"):
            old.unlink()
        print(split(args))
    else:
        collect(args)


if __name__ == "__main__":
    run_main(main)

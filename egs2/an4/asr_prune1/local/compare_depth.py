#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Plan and run the jobs of compare_depth.sh, decode all depths, and make the table."""

import argparse
import logging
import random
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import compare
import compare_scores
from compare import Job

from espnet_prune.data.corpus import whole_set
from espnet_prune.report.bootstrap import few
from espnet_prune.report.results import environment, markdown
from espnet_prune.report.tables import in_order
from espnet_prune.utils import (
    atomic_write,
    read_json,
    read_yaml,
    run_main,
    setup_logging,
    write_json,
    write_yaml,
)

MODEL = "valid.cer_ctc.ave.pth"
DECODE = "greedy"
DRAWS = 5


class Point(NamedTuple):
    """What is decoded: a method at a depth, of one seed, from one model."""

    method: str
    depth: int
    seed: int
    exp: Path
    blocks: Optional[List[int]]  # 1-based; None: all

    def folder(self, expdir: Path) -> Path:
        """Where its text and its scores go."""
        return expdir / "points" / f"{self.exp.name}_{self.method}_{self.depth}"


def shallow(config: Dict[str, Any], depth: int) -> Dict[str, Any]:
    """The configuration of a model of another depth, regularised alike.

    Intermediate CTC stays after every quarter of the blocks; the rates of stochastic
    depth follow the same rule.
    """
    conf = dict(config["encoder_conf"], num_blocks=depth)
    if conf.get("interctc_layer_idx"):
        taps = {round(depth * quarter / 4) for quarter in (1, 2, 3)}
        conf["interctc_layer_idx"] = sorted(taps - {0, depth})
    return {**config, "encoder_conf": conf}


def plan(args: argparse.Namespace) -> List[Job]:
    """All jobs; a job waits for the dense model that has its number as seed."""
    jobs: List[Job] = []
    number = 0
    for family in args.families:
        base = read_yaml(f"conf/train_{family}_ctc_interctc_sd.yaml")
        confs = args.expdir / "conf"
        for depth in args.separate:
            path, conf = confs / f"{family}_{depth}.yaml", shallow(base, depth)
            if not path.exists() or read_yaml(path) != conf:
                write_yaml(conf, path)
        for depth in args.recover:
            conf = read_yaml("conf/prune_comflp.yaml")
            conf["num_remove"] = base["encoder_conf"]["num_blocks"] - depth
            write_yaml(conf, confs / f"comflp_{family}_{depth}.yaml")
        for seed in seeds_of(args, family):
            number += 2
            exp = {
                kind: args.expdir / f"{kind}_{family}_s{seed}"
                for kind in ("ondemand", "plain")
            }
            train = ["--stage", "11", "--stop_stage", "11"]
            train += ["--asr_args", f"--seed {seed}"]
            for i, (kind, name) in enumerate(
                (("ondemand", f"{family}_ctc_interctc_sd"), ("plain", f"{family}_ctc"))
            ):
                options = [*train, "--asr_config", f"conf/train_{name}.yaml"]
                options += ["--dense_exp", str(exp[kind])]
                jobs.append(Job("dense", 0, number + i, exp[kind], options))
            options = [
                "--stage",
                "14",
                "--stop_stage",
                "15",
                "--prune_args",
                "--seed 0",
            ]
            options += ["--prune_config", "conf/prune_ondemand.yaml"]
            options += ["--dense_exp", str(exp["ondemand"])]
            table = args.expdir / f"table_{family}_s{seed}"
            options += ["--prune_exp", str(table)]
            jobs.append(Job("table", 0, number, table, options))
            for depth in args.separate:
                own = args.expdir / f"separate{depth}_{family}_s{seed}"
                options = [*train, "--dense_exp", str(own)]
                options += ["--asr_config", str(confs / f"{family}_{depth}.yaml")]
                jobs.append(Job("scratch", depth, 0, own, options))
            for depth in args.recover:
                own = args.expdir / f"comflp{depth}_{family}_s{seed}"
                options = ["--stage", "14", "--stop_stage", "17"]
                options += ["--dense_exp", str(exp["plain"]), "--prune_exp", str(own)]
                options += ["--prune_args", f"--seed {seed}"]
                options += ["--recover_args", f"--seed {seed}"]
                options += ["--recover_config", "conf/recover_ctc.yaml"]
                conf = confs / f"comflp_{family}_{depth}.yaml"
                options += ["--prune_config", str(conf)]
                jobs.append(Job("comflp", depth, number + 1, own, options))
    order = {"dense": 0, "table": 1, "scratch": 2, "comflp": 3}
    return sorted(jobs, key=lambda job: order[job.method])


def seeds_of(args: argparse.Namespace, family: str) -> List[int]:
    """Seeds of a family."""
    return args.seeds if family == args.families[0] else args.other_seeds


def points(args: argparse.Namespace, family: str) -> List[Point]:
    """Everything of one family that is decoded, as far as its models are there."""
    found: List[Point] = []
    for seed in seeds_of(args, family):
        path = args.expdir / f"ondemand_{family}_s{seed}"
        plain = args.expdir / f"plain_{family}_s{seed}"
        table = path / "depth_table.json"
        if table.is_file():
            data = read_json(table)
            number = data["num_blocks"]
            kept = {e["depth"]: e["kept_blocks"] for e in data["depths"]}
            for depth in args.depths:
                found.append(Point("ondemand", depth, seed, path, kept[depth]))
                found.append(Point("plain", depth, seed, plain, kept[depth]))
                if depth == number:
                    continue
                first = list(range(1, depth + 1))
                found.append(Point("truncate", depth, seed, path, first))
                for i in range(DRAWS):
                    rng = random.Random(f"{seed} {depth} {i}")
                    drawn = sorted(rng.sample(range(1, number + 1), depth))
                    found.append(Point(f"random{i}", depth, seed, path, drawn))
        for method, depths in (("separate", args.separate), ("comflp", args.recover)):
            for depth in depths:
                own = args.expdir / f"{method}{depth}_{family}_s{seed}"
                found.append(Point(method, depth, seed, own, None))
    return [point for point in found if (point.exp / MODEL).is_file()]


def decode(args: argparse.Namespace, found: Sequence[Point]) -> None:
    """Decode and score what is not yet there, model by model."""
    from espnet_prune.models import load_model
    from espnet_prune.report.scoring import score_set, tokenizers
    from espnet_prune.select.layers.dev_data import load_batches
    from espnet_prune.units.blocks import BlockRunner

    raw = Path(args.dumpdir) / "raw"
    for exp in dict.fromkeys(point.exp for point in found):
        own = [point for point in found if point.exp == exp]
        last = args.test_sets[-1]
        result = f"{DECODE}/{last}/score_cer/result.txt"
        own = [p for p in own if not (p.folder(args.expdir) / result).is_file()]
        if not own:
            continue
        logging.info(f"{exp}: {len(own)} depths are decoded")
        model, config = load_model(exp / "config.yaml", exp / MODEL)
        runner = BlockRunner(model.encoder, model.ctc)
        for name in args.test_sets:
            whole = whole_set(raw, name)
            data = [(str(whole / "wav.scp"), "speech", "sound")]
            data += [(str(whole / "text"), "text", "text")]
            batches = load_batches(config, data, max_utts=10**6, batch_seconds=30)
            for point in own:
                blocks = point.blocks or range(1, len(runner) + 1)
                lines = []
                for batch in batches:
                    state = runner.start(
                        lambda: model.encode(batch.speech, batch.lengths)
                    )
                    for block in blocks:
                        state = runner.advance(state, block - 1)
                    texts = batch.texts(model.ctc, *runner.finish(state))
                    lines += [f"{i} {text}\n" for i, text in zip(batch.ids, texts)]
                folder = point.folder(args.expdir) / DECODE / name
                with atomic_write(folder / "text") as stream:
                    stream.write("".join(sorted(lines)))
                score_set(
                    whole / "text",
                    folder / "text",
                    tokenizers(),
                    folder,
                    "jiwer",
                )


def rows(args: argparse.Namespace, found: Sequence[Point]) -> List[Dict[str, Any]]:
    """Error rates per method and depth over all seeds, with intervals."""
    groups: Dict[Tuple[str, int], Dict[int, Any]] = {}
    for point in found:
        folder = point.folder(args.expdir)
        scores = compare_scores.read_point(folder, DECODE, args.test_sets)
        draw = point.method[6:] if point.method.startswith("random") else "0"
        method = point.method.rstrip("01234")
        seed = 100 * point.seed + int(draw or 0)
        groups.setdefault((method, point.depth), {})[seed] = scores
    table = []
    raw = Path(args.dumpdir) / "raw"
    speakers = compare_scores.read_speakers(raw, args.test_sets)
    draw = compare_scores.Draw(args.bootstrap, speakers)
    for (method, depth), seeds in sorted(groups.items(), key=lambda g: -g[0][1]):
        against = groups.get(("separate", depth), {})
        scores = compare_scores.all_figures(seeds, against, draw)
        row = {"method": method, "depth": depth, "seeds": sorted(seeds)}
        table.append({**row, "scores": scores})
    return table


def text_of(found: Sequence[Dict[str, Any]], measure: str) -> str:
    """A Markdown table: a row per depth and method."""
    sets = in_order(found[0]["scores"][measure])
    head = ["depth", "model", "runs", *(f"{measure.upper()} {s}" for s in sets)]
    lines = [[*head, f"against separate, {sets[0]}"]]
    for row in found:
        values = [row["scores"][measure][s] for s in sets]
        line = [str(row["depth"]), row["method"], str(len(row["seeds"]))]
        line += map(compare_scores.rate_text, values)
        against = values[0].get("against_dense")
        other = against and row["method"] != "separate"
        text = compare_scores.difference_text(against) if other else "-"
        lines.append([*line, text])
    return markdown(lines)


def plot(found: Sequence[Dict[str, Any]], path: Path) -> None:
    """WER by depth, a line per method."""
    from matplotlib.figure import Figure

    from espnet_prune.report.plots import save_png

    name = in_order(found[0]["scores"]["wer"])[0]
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axis = figure.subplots()
    for method in dict.fromkeys(row["method"] for row in found):
        own = [row for row in found if row["method"] == method]
        rates = [row["scores"]["wer"][name]["rate"] for row in own]
        axis.plot([row["depth"] for row in own], rates, marker="o", label=method)
    axis.invert_xaxis()
    axis.set_xlabel("blocks that run")
    axis.set_ylabel(f"WER {name} [%], greedy CTC")
    axis.set_ylim(0, 100)
    axis.legend(fontsize=8)
    save_png(figure, path)


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--expdir", type=Path, required=True)
    parser.add_argument("--dumpdir", default="dump")
    parser.add_argument("--families", nargs="+", default=["transformer"])
    for name in ("seeds", "other_seeds", "depths", "separate", "recover"):
        parser.add_argument(f"--{name}", type=int, nargs="*", default=[0])
    parser.add_argument("--max_jobs", type=int, default=2)
    parser.add_argument("--test_sets", nargs="+", default=["dev", "test"])
    parser.add_argument("--bootstrap", type=int, default=10000)
    parser.add_argument("--only_table", type=lambda x: x == "true", default=False)
    parser.add_argument("common", nargs="*", help="options of every prune.sh call")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the comparison."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    failed = [] if args.only_table else compare.run_all(args, plan(args))
    lines = ["# Depth on demand", ""]
    lines += [f"- {k}: `{v}`" for k, v in environment()]
    result = {}
    for family in args.families:
        found = points(args, family)
        decode(args, found)
        if not found:
            continue
        result[family] = rows(args, found)
        lines += ["", f"## {family}, greedy CTC", ""]
        values = result[family][0]["scores"]["wer"].values()
        lines += [f"Intervals drawn by {', '.join(v['drawn'] for v in values)}."]
        lines += [few(v["drawn"] for v in values), ""]
        for measure in compare_scores.MEASURES:
            lines += [text_of(result[family], measure), ""]
        plot(result[family], args.expdir / f"depth_{family}.png")
    with atomic_write(args.expdir / "RESULTS.md") as stream:
        stream.write("\n".join(lines) + "\n")
    write_json(result, args.expdir / "depth.json")
    print("\n".join(lines))
    compare.require_all(failed, args.expdir / "log")


if __name__ == "__main__":
    run_main(main)

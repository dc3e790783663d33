# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Error rates right after a cut, without training: method obs and others beside it.

    python test/benchmarks/bench_untrained.py --model exp/asr_x --sets dev test
        --output_dir results/untrained [--rows obs magnitude] [--kinds params macs]
        [--sparsities 0.3 0.5] [--seed 0]

To be called from a recipe's directory. Every size of every row becomes a JSON file of a
comparison, from which tables of READMEs are made; what is there already is left out.
Texts are the best paths of CTC, or those of the attention decoder for `--of decoder`.
Ends with one line of JSON: {rows, minutes}.
"""

import argparse
import dataclasses
import json
import logging
import shlex
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
# rows that calibrate, and their obs_conf
OBS = {
    "obs": {},
    "obs_labels": {"labels": True},
    "obs_100": {"num_utts": 100},
    "obs_50": {"num_utts": 50},
    "obs_alone": {},
}
ALONE = "obs_alone"  # every size by a calibration of its own, not on one path
SCORES = ("magnitude", "group_magnitude", "taylor")
LABELS = {
    "dense": "dense",
    "obs": "obs, 300 utterances without text",
    "obs_labels": "obs, 300 utterances with text",
    "obs_100": "obs, 100 utterances without text",
    "obs_50": "obs, 50 utterances without text",
    "obs_alone": "obs, every size calibrated alone",
    "magnitude": "magnitude",
    "group_magnitude": "group magnitude over its mean, as in Torch-Pruning",
    "taylor": "Taylor, 64 utterances with text",
}


def group_magnitude(plan):
    """Scores after Torch-Pruning's default: mean squared norm over a group's tensors,
    over its mean in the vector; ranked over all vectors together.

    The package itself (method torch_pruning) leaves depthwise kernels and biases of
    positions out and counts gains of norms: of the sample's 5,400 units it treats 51
    otherwise at half the parameters, 14 at 85 %.
    """
    weights = dict(plan.root.named_parameters())
    scores = {}
    for unit in plan.graph:
        if unit.kind == "module":
            continue
        norms = []
        for part in (*unit.producers, *unit.consumers):
            if part.tensor in weights and weights[part.tensor].dim() > 1:
                rows = weights[part.tensor].detach().movedim(part.dim, 0).flatten(1)
                own = rows.square().sum(1)[part.entries(torch.arange(unit.size))]
                norms.append(own.view(unit.size, -1).sum(1))
        mean = torch.stack(norms).mean(0)
        scores[unit.name] = mean / mean.mean()
    return scores


class Sets:
    """Labelled sets, and the errors of a model on them.

    Args:
        config: config.yaml.
        names: Of the sets in `raw`.
        raw: Directory of the formatted sets.
        of: "encoder", judged by CTC, or "decoder".
    """

    def __init__(self, config, names, raw, of):
        from espnet_prune.data.tables import read_table
        from espnet_prune.select.layers.dev_data import load_batches

        self.of, self.batches, self.speakers = of, {}, {}
        for name in names:
            files = [("wav.scp", "speech", "sound"), ("text", "text", "text")]
            entries = [(str(raw / name / f), n, t) for f, n, t in files]
            self.batches[name] = load_batches(config, entries, max_utts=100000)
            for key, speaker in read_table(raw / name / "utt2spk").items():
                self.speakers[f"{name}/{key}"] = speaker

    @torch.no_grad()
    def texts(self, model, batch):
        """Return the texts of a batch."""
        from espnet_prune.select.layers.attention import greedy

        hidden, lengths = model.encode(batch.speech, batch.lengths)[:2]
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        if self.of != "decoder":
            return batch.texts(model.ctc, hidden, lengths)
        most = [2 * len(t) + 10 for t in batch.targets]
        found = greedy(model.decoder, hidden, model.sos, model.eos, most)
        return [batch.to_text([t for t in row if t]) for row in found]

    def scores(self, model):
        """Return {"wer": {set: figures}}, see `report.compare.scores`."""
        from espnet_prune.report.compare.scores import clustered
        from espnet_prune.report.counts import align

        found = {"+".join(self.batches): {}}
        for name, batches in self.batches.items():
            own = {}
            for batch in batches:
                rows = zip(batch.ids, batch.refs, self.texts(model, batch))
                for key, ref, text in rows:
                    own[f"{name}/{key}"] = align(ref, batch.split(text))
            found[name] = own
            found["+".join(self.batches)].update(own)
        return {"wer": {s: clustered(own, self.speakers) for s, own in found.items()}}


def selections(row, plan, sparsities):
    """Yield (sparsity, masks, changed tensors of the root) of a row."""
    from espnet_prune.select.obs.run import entries_for, judging_entries, make_path
    from espnet_prune.select.scores import by_quantiles, by_values
    from espnet_prune.select.taylor.scores import taylor_scores
    from espnet_prune.units import unit_norms

    prefix = "" if plan.root is plan.model else "encoder."
    if row in OBS and row != ALONE:
        path, _ = make_path(plan, entries_for(plan), judging_entries(plan))
    elif row == "taylor":
        scores = taylor_scores(plan, 64)
    elif row == "group_magnitude":
        scores = group_magnitude(plan)
    elif row == "magnitude":
        scores = unit_norms(plan.root, plan.graph)
    for sparsity in sparsities:
        budget = plan.budget.scaled(sparsity / plan.budget.targets[0].sparsity)
        changed = {}
        if row == ALONE:
            own = dataclasses.replace(plan, budget=budget)
            path, _ = make_path(own, entries_for(plan), judging_entries(plan))
        if row in OBS:
            found = path.at(budget)
            masks = found.masks
            changed = {
                k[len(prefix) :]: v
                for k, v in found.weights.items()
                if k.startswith(prefix)
            }
        elif row == "group_magnitude":
            masks = by_values(scores, plan.graph, budget, plan.kinds)
        else:
            masks = by_quantiles(scores, plan.graph, budget, plan.kinds)
        yield sparsity, plan.graph.close(masks), changed


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="directory of the dense model")
    parser.add_argument("--model_file", default="valid.acc.ave.pth")
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--raw", default="dump/raw")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument(
        "--rows", nargs="+", default=[*OBS, *SCORES], choices=[*OBS, *SCORES]
    )
    parser.add_argument("--kinds", nargs="+", default=["params", "macs"])
    parser.add_argument("--of", default="encoder")
    parser.add_argument(
        "--sparsities", nargs="+", type=float, default=[0.3, 0.5, 0.6, 0.7, 0.8]
    )
    parser.add_argument("--seed", type=int, default=0, help="the dense model's")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_flush_denormal(True)

    from espnet_prune.measure.cost import cost
    from espnet_prune.models import load_model
    from espnet_prune.report.compare.rows import made_with
    from espnet_prune.select.obs.path import RemovalPath
    from espnet_prune.select.plan import Plan
    from espnet_prune.utils import sha256, write_json

    begun, out, model_dir = time.time(), Path(args.output_dir), Path(args.model)
    file = model_dir / args.model_file
    model, config = load_model(model_dir / "config.yaml", file)
    sets = Sets(config, args.sets, Path(args.raw), args.of)
    options = argparse.Namespace(
        ngpu=0,
        model_config=str(model_dir / "config.yaml"),
        output_dir=str(out),
        calibration=None,
        eval_data_path_and_name_and_type=None,
    )
    command = shlex.join(
        ["python", "test/benchmarks/bench_untrained.py", *sys.argv[1:]]
    )

    def write(row, place, plan, kind, sparsity, masks, changed):
        percent = round(100 * sparsity)
        small = RemovalPath(plan).model(changed, masks) if sparsity else model
        structure = plan.graph.structure(masks)
        priced = [cost(structure, plan.frames, p) for p in ("encoder", "model")]
        name = (
            f"{row}_{kind}_{percent}_s{args.seed}" if percent else f"dense_s{args.seed}"
        )
        write_json(
            {
                "name": f"{row}_{kind}" if percent else row,
                "label": LABELS[row],
                "kind": "untrained",
                "size": percent,
                "seed": args.seed,
                "draw": 0,
                "place": place,
                "budget": {"kind": kind, "frames": plan.frames, "sparsity": sparsity},
                "encoder_params": priced[0].params,
                "total_params": sum(p.numel() for p in small.parameters()),
                "frames": plan.frames,
                "gmacs": priced[0].macs / 1e9,
                "inputs": sha256(file),
                "scores": sets.scores(small),
                "decoding": {"greedy": "ctc" if args.of == "encoder" else "attention"},
                "command": command,
                **made_with(),
            },
            out / f"{name}.json",
        )
        logging.info(f"{name} written")

    out.mkdir(parents=True, exist_ok=True)
    written = 0
    for kind in args.kinds:
        for place, row in enumerate(args.rows, start=1):
            names = [
                f"{row}_{kind}_{round(100 * s)}_s{args.seed}" for s in args.sparsities
            ]
            left = [
                s
                for s, name in zip(args.sparsities, names)
                if not (out / f"{name}.json").is_file()
            ]
            if not left:
                continue
            budget = {"kind": kind, "sparsity": max(args.sparsities)}
            budget.update({} if args.of == "encoder" else {"of": args.of})
            conf = {"method": "obs", "seed": 0, "budget": budget}
            conf["obs_conf"] = OBS.get(row, {})
            plan = Plan.of(conf, model, config, options)
            if not (out / f"dense_s{args.seed}.json").is_file():
                write("dense", 0, plan, kind, 0.0, plan.graph.close({}), {})
            for found in selections(row, plan, left):
                write(row, place, plan, kind, *found)
                written += 1
    minutes = round((time.time() - begun) / 60, 1)
    print(json.dumps({"rows": written, "minutes": minutes}))


if __name__ == "__main__":
    main()

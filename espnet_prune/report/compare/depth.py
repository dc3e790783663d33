# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A model at several depths, decoded by greedy CTC in this process."""

import logging
import random
from typing import List, Optional, Sequence

from espnet_prune.data.corpus import whole_set
from espnet_prune.report import decoding
from espnet_prune.report.compare.conf import Comparison
from espnet_prune.report.compare.plan import Point
from espnet_prune.report.compare.rows import where_decoded
from espnet_prune.utils import atomic_write, read_json


def blocks_of(c: Comparison, point: Point) -> Optional[List[int]]:
    """The blocks that run, from 1 on; None: all."""
    if point.row.kind != "blocks":
        return None
    depth = int(point.size)
    if point.row.blocks == "first":
        return list(range(1, depth + 1))
    of = (c.table or {})["of"]
    table = read_json(c.exp / f"{of}_s{point.seed}" / "depth_table.json")
    if point.row.blocks == "random":
        rng = random.Random(f"{point.seed} {depth} {point.draw}")
        return sorted(rng.sample(range(1, table["num_blocks"] + 1), depth))
    kept = {e["depth"]: e["kept_blocks"] for e in table["depths"]}
    return kept[depth]


def decode(c: Comparison, points: Sequence[Point]) -> None:
    """Decode and score points of one model."""
    from espnet_prune.models import load_model
    from espnet_prune.report.scoring import score_set, tokenizers
    from espnet_prune.select.layers.dev_data import load_batches
    from espnet_prune.units.blocks import BlockRunner

    exp = points[0].exp
    if not points or not (exp / c.model).is_file():
        return
    logging.info("%s: %d depths are decoded", exp, len(points))
    model, config = load_model(exp / "config.yaml", exp / c.model)
    runner = BlockRunner(model.encoder, model.ctc)
    chosen = [blocks_of(c, p) or list(range(1, len(runner) + 1)) for p in points]
    for name in c.test_sets:
        whole = whole_set(c.raw, name)
        data = [(str(whole / "wav.scp"), "speech", "sound")]
        data += [(str(whole / "text"), "text", "text")]
        batches = load_batches(config, data, max_utts=10**6, batch_seconds=30)
        for point, blocks in zip(points, chosen):
            lines = []
            for batch in batches:
                state = runner.start(lambda: model.encode(batch.speech, batch.lengths))
                for block in blocks:
                    state = runner.advance(state, block - 1)
                texts = batch.texts(model.ctc, *runner.finish(state))
                lines += [f"{i} {text}\n" for i, text in zip(batch.ids, texts)]
            folder = where_decoded(c, point)
            with atomic_write(folder / name / "text") as stream:
                stream.write("".join(sorted(lines)))
            hyp = folder / name / "text"
            score_set(whole / "text", hyp, tokenizers(), folder / name, "jiwer")
            decoding.note({}, folder)

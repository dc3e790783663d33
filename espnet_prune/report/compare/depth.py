# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A model at several depths, decoded by greedy CTC in this process."""

import logging
import random
from typing import List, Sequence

from espnet_prune.data.corpus import whole_set
from espnet_prune.models import encoded
from espnet_prune.report import decoding
from espnet_prune.report.compare.conf import Comparison
from espnet_prune.report.compare.plan import Point
from espnet_prune.report.compare.rows import where_decoded
from espnet_prune.utils import atomic_write, read_json


def blocks_of(c: Comparison, point: Point, number: int) -> List[int]:
    """The blocks that run, from 1 on, of `number`."""
    depth, everything = int(point.size), range(1, number + 1)
    if point.row.kind != "blocks":
        return list(everything)
    if point.row.blocks == "first":
        return list(everything[:depth])
    if point.row.blocks == "random":
        rng = random.Random(f"{point.seed} {depth} {point.draw}")
        return sorted(rng.sample(everything, depth))
    of = point.row.of if point.row.select else (c.table or {})["of"]
    table = read_json(c.exp / f"{of}_s{point.seed}" / "depth_table.json")
    return {e["depth"]: e["kept_blocks"] for e in table["depths"]}[depth]


def decode(c: Comparison, points: Sequence[Point]) -> None:
    """Decode and score points of one model."""
    from espnet_prune.models import load_model
    from espnet_prune.report.scoring import score_set, tokenizers
    from espnet_prune.select.layers.dev_data import load_batches
    from espnet_prune.units.blocks import BlockRunner

    exp = points[0].exp
    if not (exp / c.model).is_file():
        return
    logging.info("%s: %d depths are decoded", exp, len(points))
    model, config = load_model(exp / "config.yaml", exp / c.model)
    runner = BlockRunner(model.encoder, model.ctc)
    chosen = [blocks_of(c, point, len(runner)) for point in points]
    for name in c.test_sets:
        whole = whole_set(c.raw, name)
        data = [(str(whole / "wav.scp"), "speech", "sound")]
        data += [(str(whole / "text"), "text", "text")]
        batches = load_batches(config, data, max_utts=10**6, batch_seconds=30)
        for point, blocks in zip(points, chosen):
            lines = []
            for batch in batches:
                state = runner.start(lambda: encoded(model, batch.given))
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

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How far a row's text is from that of the dense model, whatever was said.

Where a set is too small for an error rate, or of another kind of speech than the
training had, this still tells how much of the dense model is left.
"""

from pathlib import Path
from typing import Sequence

from espnet_prune.data.corpus import whole_set
from espnet_prune.data.tables import read_table
from espnet_prune.report.compare import rows
from espnet_prune.report.compare.conf import Comparison
from espnet_prune.report.compare.plan import Point
from espnet_prune.report.compare.scores import AGREE, Figures, clustered
from espnet_prune.report.counts import Counts
from espnet_prune.utils import read_json, write_json


def unlike(refs: Path, hyps: Path, utt2spk: Path) -> Figures:
    """Words that differ, in percent of those of the first.

    Args:
        refs: Text of the dense model.
        hyps: Text of another.
        utt2spk: Speakers, by whom intervals are drawn; it need not be there.
    """
    from rapidfuzz.distance import Levenshtein

    heard, found = read_table(hyps), {}
    for name, text in read_table(refs).items():
        words = text.split()
        wrong = Levenshtein.distance(words, heard.get(name, "").split())
        other = min(wrong, len(words))
        found[name] = Counts(len(words) - other, other, 0, wrong - other)
    speakers = read_table(utt2spk) if utt2spk.is_file() else {}
    return clustered(found, speakers)


def add_agreement(c: Comparison, points: Sequence[Point]) -> None:
    """Write into the rows of pruned and small models how unlike the dense one they are.

    Args:
        c: The comparison.
        points: Those that are finished; of a seed whose dense model is not among them
            nothing is said.
    """
    dense = {(p.row.name, p.seed): p for p in points if p.row.kind == "dense"}
    for point in points:
        base = point.row.of if point.row.of in c.dense else next(iter(c.dense))
        first = dense.get((str(base), point.seed))
        if first is None or point.row.kind == "dense":
            continue
        path = rows.path_of(c, point)
        row = read_json(path)
        folders = [rows.where_decoded(c, p) for p in (first, point)]
        found = {}
        for s in row["scores"]["wer"]:
            texts = [folder / s / "text" for folder in folders]
            if all(text.is_file() for text in texts):
                found[s] = unlike(*texts, whole_set(c.raw, s) / "utt2spk")
        if found and found != row["scores"].get(AGREE):
            row["scores"][AGREE] = found
            write_json(row, path)

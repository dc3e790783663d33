# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Error rates of a comparison: read, added up over the seeds, and compared.

The intervals come from a bootstrap over speakers, where utt2spk tells them, or else
over utterances, in which the errors of an utterance are added up over the seeds;
differences are paired by utterance and seed.
"""

from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from espnet_prune.data.corpus import whole_set
from espnet_prune.data.tables import read_table
from espnet_prune.report.bootstrap import drawn, interval, paired, speakers_of
from espnet_prune.report.counts import Counts, parse_result
from espnet_prune.report.tables import in_order

Point = Tuple[str, int, int, Path]  # method, size, seed, directory
Utterances = Dict[str, Counts]
Scores = Dict[Tuple[str, str], Utterances]  # by measure and set
Found = Dict[Tuple[str, int], Dict[int, Scores]]  # by method and size, by seed
MEASURES = ("wer", "cer")


class Draw(NamedTuple):
    """How an interval is drawn: resamplings, and the speaker of each utterance."""

    samples: int
    speakers: Mapping[str, str]

    def groups(self, keys: Sequence[str]) -> Optional[Sequence[str]]:
        """What is drawn together, None where the speakers are not known."""
        if any(key not in self.speakers for key in keys):
            return None
        return speakers_of([self.speakers[key] for key in keys])


def read_speakers(raw: Path, sets: Sequence[str]) -> Dict[str, str]:
    """Speakers of the dump by the keys of `read_point`, as far as utt2spk is there."""
    found = {}
    for s in sets:
        path = whole_set(raw, s) / "utt2spk"
        for utt, speaker in read_table(path).items() if path.is_file() else ():
            found[f"{s}/{speaker}-{utt}".lower()] = speaker
    return found


def shown(sets: Sequence[str]) -> List[str]:
    """The sets in the order of the tables, and all of them together."""
    return in_order([*sets, "+".join(sets)] if len(sets) > 1 else sets)


def read_point(exp: Path, decode: str, sets: Sequence[str]) -> Scores:
    """Results of one model, {} if it is not finished.

    Returns:
        {(measure, set): Utterances}; the set "dev+test" is all sets together.
    """
    result: Scores = {}
    for measure in MEASURES:
        paths = [exp / decode / s / f"score_{measure}" / "result.txt" for s in sets]
        if not all(path.is_file() for path in paths):
            return {}
        joint: Utterances = {}
        for s, path in zip(sets, paths):
            text = path.read_text(encoding="utf-8", errors="replace")
            own = {f"{s}/{key}".lower(): c for key, c in parse_result(text).items()}
            result[measure, s] = own
            joint.update(own)
        if len(sets) > 1:
            result[measure, "+".join(sets)] = joint
    return result


def find(points: Sequence[Point], decode: str, sets: Sequence[str]) -> Found:
    """Results of all models that are finished, in the order of the points."""
    found: Found = {}
    for method, size, seed, exp in points:
        scores = read_point(exp, decode, sets)
        if scores:
            found.setdefault((method, size), {})[seed] = scores
    return found


def added(seeds: Mapping[int, Utterances]) -> Tuple[List[int], List[int]]:
    """Errors and reference tokens of each utterance, in its order, over the seeds."""
    keys = sorted(next(iter(seeds.values())))
    errors = [sum(found[key].errors for found in seeds.values()) for key in keys]
    words = [sum(found[key].words for found in seeds.values()) for key in keys]
    return errors, words


def rate(errors: Sequence[int], words: Sequence[int]) -> float:
    """Errors per reference token in percent."""
    return 100.0 * sum(errors) / max(sum(words), 1)


def difference(
    own: Mapping[int, Utterances], others: Mapping[int, Utterances], draw: Draw
) -> Dict[str, Any]:
    """What `paired` says of two methods, over the seeds that both have."""
    common = own.keys() & others.keys()
    errors, words = added({seed: own[seed] for seed in common})
    rest, _ = added({seed: others[seed] for seed in common})
    groups = draw.groups(sorted(next(iter(own.values()))))
    return paired(errors, rest, words, groups, draw.samples)


def figures(
    seeds: Mapping[int, Utterances],
    dense: Mapping[int, Utterances],
    draw: Draw,
) -> Dict[str, Any]:
    """Rate over all seeds, its interval, the rates by seed, and against dense."""
    errors, words = added(seeds)
    groups = draw.groups(sorted(next(iter(seeds.values()))))
    by_seed = {seed: rate(*added({seed: found})) for seed, found in seeds.items()}
    result: Dict[str, Any] = {
        "rate": rate(errors, words),
        "by_seed": by_seed,
        "interval": list(interval(errors, words, groups, draw.samples)),
        "drawn": drawn(groups, len(errors)),
    }
    if all(seed in dense for seed in seeds):
        result["against_dense"] = difference(seeds, dense, draw)
    return result


def of(seeds: Mapping[int, Scores], key: Tuple[str, str]) -> Dict[int, Utterances]:
    """The results of one measure on one set, by seed."""
    return {seed: scores[key] for seed, scores in seeds.items()}


def all_figures(
    seeds: Mapping[int, Scores], dense: Mapping[int, Scores], draw: Draw
) -> Dict[str, Dict[str, Any]]:
    """The `figures` by measure and set."""
    result: Dict[str, Dict[str, Any]] = {}
    for measure, s in next(iter(seeds.values())):
        key = (measure, s)
        values = figures(of(seeds, key), of(dense, key), draw)
        result.setdefault(measure, {})[s] = values
    return result


def first_against_others(
    found: Found, sets: Sequence[str], draw: Draw
) -> List[Dict[str, Any]]:
    """The first method against each other one of the same size, and against dense_long.

    Returns:
        One mapping per size and other method, with what `paired` says per measure and
        set; none for models without a seed in common.
    """
    first = next((method for method, size in found if size), None)
    rows = []
    for (own, size), seeds in found.items():
        if own != first:
            continue
        for (method, at), others in found.items():
            common = sorted(seeds.keys() & others.keys())
            if method in ("dense", first) or at not in (size, 0) or not common:
                continue
            row: Dict[str, Any] = {"method": own, "size": size, "other": method}
            row["seeds"] = common
            for measure in MEASURES:
                row[measure] = {
                    s: difference(
                        of(seeds, (measure, s)), of(others, (measure, s)), draw
                    )
                    for s in shown(sets)
                }
            rows.append(row)
    return rows


def rate_text(values: Mapping[str, Any]) -> str:
    """The rate of `figures` and its interval in percent."""
    low, high = values["interval"]
    return f"{values['rate']:.2f} [{low:.2f}, {high:.2f}]"


def difference_text(pair: Mapping[str, Any]) -> str:
    """A difference and its interval in percentage points."""
    low, high = pair["interval"]
    return f"{pair['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"

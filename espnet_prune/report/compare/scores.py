# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Error rates of a comparison: read, added up over the seeds, and compared.

What is drawn together, a speaker where utt2spk tells them or else an utterance, keeps
its errors and reference tokens, so that a row's JSON is enough for every interval.
"""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from espnet_prune.data.corpus import whole_set
from espnet_prune.data.tables import read_table
from espnet_prune.report.bootstrap import drawn, interval, paired, speakers_of
from espnet_prune.report.counts import Counts, parse_result
from espnet_prune.report.tables import in_order
from espnet_prune.utils import UserError

MEASURES = ("wer", "cer")
SAMPLES = 10000
Figures = Dict[str, Any]  # rate, interval, drawn; errors and words by cluster


def read_speakers(raw: Path, sets: Sequence[str]) -> Dict[str, str]:
    """Speakers of the dump by the keys of `read_scores`, as far as utt2spk is there."""
    found = {}
    for s in sets:
        path = whole_set(raw, s) / "utt2spk"
        for utt, speaker in read_table(path).items() if path.is_file() else ():
            found[f"{s}/{speaker}-{utt}".lower()] = speaker
    return found


def shown(sets: Sequence[str]) -> List[str]:
    """The sets in the order of the tables, and all of them together."""
    return in_order([*sets, "+".join(sets)] if len(sets) > 1 else sets)


def rate(errors: Sequence[int], words: Sequence[int]) -> float:
    """Errors per reference token in percent."""
    return 100.0 * sum(errors) / max(sum(words), 1)


def clustered(
    found: Mapping[str, Counts], speakers: Mapping[str, str], samples: int
) -> Figures:
    """The figures of one measure on one set.

    Args:
        found: Counts by set and utterance.
        speakers: See `read_speakers`; not all known: utterances are drawn.
        samples: Resamplings of the interval.
    """
    keys = sorted(found)
    known = all(key in speakers for key in keys)
    groups = speakers_of([speakers[key] for key in keys]) if known else None
    errors: Dict[str, int] = {}
    words: Dict[str, int] = {}
    for key, group in zip(keys, groups or keys):
        errors[group] = errors.get(group, 0) + found[key].errors
        words[group] = words.get(group, 0) + found[key].words
    return figures(
        list(errors.values()), list(words.values()), drawn(groups, len(keys)), samples
    )


def figures(
    errors: List[int], words: List[int], said: str, samples: int = SAMPLES
) -> Figures:
    """Rate and interval of clusters; the lists are text, one line of JSON."""
    return {
        "rate": rate(errors, words),
        "interval": list(interval(errors, words, None, samples)),
        "drawn": said,
        "errors": " ".join(map(str, errors)),
        "words": " ".join(map(str, words)),
    }


def read_scores(
    decoded: Path, sets: Sequence[str], raw: Path, samples: int = SAMPLES
) -> Dict[str, Dict[str, Figures]]:
    """Results of one model, {} if it is not finished.

    Args:
        decoded: Directory with SET/score_MEASURE/result.txt.
        sets: Their names; all that are there by default.
        raw: Directory of the formatted sets, for utt2spk.
        samples: Resamplings of the intervals.

    Returns:
        {measure: {set: figures}}; the set "dev+test" is all sets together.
    """
    sets = list(sets) or sorted(
        path.parts[-3] for path in decoded.glob(f"*/score_{MEASURES[0]}/result.txt")
    )
    speakers = read_speakers(raw, sets)
    result: Dict[str, Dict[str, Figures]] = {}
    for measure in MEASURES if sets else ():
        joint: Dict[str, Dict[str, Counts]] = {"+".join(sets): {}}
        for s in sets:
            path = decoded / s / f"score_{measure}" / "result.txt"
            if not path.is_file():
                return {}
            text = path.read_text(encoding="utf-8", errors="replace")
            own = {f"{s}/{key}".lower(): c for key, c in parse_result(text).items()}
            joint[s] = own
            joint["+".join(sets)].update(own)
        result[measure] = {
            s: clustered(joint[s], speakers, samples) for s in shown(sets)
        }
    return result


def numbers(text: str) -> List[int]:
    """The errors or words of `figures`."""
    return [int(word) for word in text.split()]


def added(runs: Sequence[Figures], where: str) -> Dict[str, List[int]]:
    """Errors and words of every cluster over the runs.

    Raises:
        UserError: They were scored on other references.
    """
    words = [numbers(run["words"]) for run in runs]
    errors = [numbers(run["errors"]) for run in runs]
    if any(len(other) != len(words[0]) for other in words):
        raise UserError(f"{where}: scored on other utterances; decode all again")
    return {
        "errors": [sum(column) for column in zip(*errors)],
        "words": [sum(column) for column in zip(*words)],
    }


def over_seeds(runs: Sequence[Figures], where: str) -> Figures:
    """The figures of one method over its seeds; of a single one, its own."""
    if len(runs) == 1:
        return dict(runs[0])
    total = added(runs, where)
    return figures(total["errors"], total["words"], runs[0]["drawn"])


def difference(
    own: Sequence[Figures], others: Sequence[Figures], where: str
) -> Optional[Dict[str, Any]]:
    """What `paired` says of two methods over the seeds that both have, in pairs.

    Raises:
        UserError: They were scored on other references.
    """
    if not own:
        return None
    this, rest = added(own, where), added(others, where)
    if this["words"] != rest["words"]:
        raise UserError(f"{where}: scored on other utterances; decode both again")
    return paired(this["errors"], rest["errors"], this["words"], None, SAMPLES)


def rate_text(values: Mapping[str, Any], digits: int = 2) -> str:
    """A rate and its interval in percent."""
    low, high = values["interval"]
    return f"{values['rate']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def difference_text(pair: Mapping[str, Any], digits: int = 2) -> str:
    """A difference and its interval in percentage points."""
    low, high = pair["interval"]
    return f"{pair['difference']:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"

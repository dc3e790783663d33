# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Error rates of a comparison: read, added up over the seeds, and compared.

What is drawn together, a speaker where utt2spk tells them or else an utterance, keeps
its errors and reference tokens, so that a row's JSON is enough for every interval.
"""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from espnet_prune.data.corpus import whole_set
from espnet_prune.data.tables import read_table
from espnet_prune.report.bootstrap import drawn, interval, paired, speakers_of
from espnet_prune.report.counts import Counts, parse_result
from espnet_prune.report.scoring import INTENT, read_intents
from espnet_prune.report.tables import in_order
from espnet_prune.utils import UserError

MEASURES = ("wer", "cer")
AGREE = "agree"  # words unlike those of the dense model, see `agreement`
SAMPLES = 10000  # resamplings of an interval
Figures = Dict[str, Any]  # rate, interval, drawn; errors and words by cluster


def read_speakers(raw: Path, sets: Sequence[str]) -> Dict[str, str]:
    """Speakers of the dump by the keys of `read_scores`, as far as utt2spk is there."""
    found = {}
    for s in sets:
        path = whole_set(raw, s) / "utt2spk"
        for utt, speaker in read_table(path).items() if path.is_file() else ():
            found[f"{s}/{speaker}-{utt}".lower()] = speaker
    return found


def figures(errors: Sequence[int], words: Sequence[int], said: str) -> Figures:
    """Rate and interval of clusters; the lists are text, one line of JSON each."""
    return {
        "rate": 100.0 * sum(errors) / max(sum(words), 1),
        "interval": list(interval(errors, words, None, SAMPLES)),
        "drawn": said,
        "errors": " ".join(map(str, errors)),
        "words": " ".join(map(str, words)),
    }


def clustered(
    found: Mapping[str, Counts], speakers: Mapping[str, str], measure: str = ""
) -> Figures:
    """The figures of one measure on one set.

    Args:
        found: Counts by set and utterance.
        speakers: See `read_speakers`; where not all are known, utterances are drawn.
        measure: Of `INTENT` the right ones are counted; they stand as errors.
    """
    keys = sorted(found)
    known = all(key in speakers for key in keys)
    groups = speakers_of([speakers[key] for key in keys]) if known else None
    sums: Dict[str, List[int]] = {}
    for key, group in zip(keys, groups or keys):
        own = sums.setdefault(group, [0, 0])
        own[0] += found[key].corr if measure == INTENT else found[key].errors
        own[1] += found[key].words
    errors, words = zip(*sums.values())
    return figures(errors, words, drawn(groups, len(keys)))


def read_scores(
    decoded: Path, sets: Sequence[str], raw: Path
) -> Dict[str, Dict[str, Figures]]:
    """Results of one model, {} if it is not finished.

    Args:
        decoded: Directory with SET/score_MEASURE/result.txt.
        sets: Their names; all that are there by default.
        raw: Directory of the formatted sets, for utt2spk.

    Returns:
        {measure: {set: figures}}; the set "dev+test" is all sets together. Intents are
        a measure, too, where all sets have them.
    """
    first = f"*/score_{MEASURES[0]}/result.txt"
    sets = list(sets) or sorted(path.parts[-3] for path in decoded.glob(first))
    speakers, whole = read_speakers(raw, sets), "+".join(sets)
    labels: Dict[str, List[str]] = {}  # of the first measure, as files spell them
    result: Dict[str, Dict[str, Figures]] = {}
    for measure in (*MEASURES, INTENT) if sets else ():
        counts: Dict[str, Dict[str, Counts]] = {whole: {}}
        for s in sets:
            path = decoded / s / f"score_{measure}" / "result.txt"
            if not path.is_file():
                return result if measure == INTENT else {}
            text = path.read_text(encoding="utf-8", errors="replace")
            if measure == INTENT:
                read = read_intents(text, labels[s])
            else:
                read = parse_result(text)
            labels.setdefault(s, list(read))
            own = {f"{s}/{key}".lower(): c for key, c in read.items()}
            counts[whole].update(own)
            counts[s] = own
        result[measure] = {
            s: clustered(counts[s], speakers, measure) for s in in_order(counts)
        }
    return result


def added(
    runs: Sequence[Figures], where: str, measure: str = ""
) -> Tuple[List[int], List[int]]:
    """Errors and words of every cluster over the runs.

    Args:
        runs: Of the same clusters.
        where: Folder, for messages.
        measure: The references of `AGREE` are what each seed's dense model heard, and
            as long as that is.

    Raises:
        UserError: They were scored on other references.
    """
    words, errors = (
        [[int(word) for word in run[key].split()] for run in runs]
        for key in ("words", "errors")
    )
    told = [len(run) for run in words] if measure == AGREE else words
    if any(other != told[0] for other in told):
        raise UserError(f"{where}: scored on other utterances; decode all again")
    return list(map(sum, zip(*errors))), list(map(sum, zip(*words)))


def over_seeds(runs: Sequence[Figures], where: str, measure: str) -> Figures:
    """The figures of one method over its seeds; of a single one, its own."""
    if len(runs) == 1:
        return runs[0]
    return figures(*added(runs, where, measure), runs[0]["drawn"])


def difference(
    pairs: Sequence[Tuple[Figures, Figures]], where: str
) -> Mapping[str, Any]:
    """What `paired` says of two methods over the seeds that both have.

    Raises:
        UserError: They were scored on other references.
    """
    own, others = zip(*pairs)
    added([*own, *others], where)  # all on the same references
    errors, words = added(own, where)
    return paired(errors, added(others, where)[0], words, None, SAMPLES)


def rate_text(values: Mapping[str, Any], digits: int = 2, sign: str = "") -> str:
    """A rate or, with the sign "+", a difference, and its interval, in percent."""
    value = values["difference" if sign else "rate"]
    texts = [f"{v:{sign}.{digits}f}" for v in (value, *values["interval"])]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""WER, CER and TER of decoded text over one or several sets."""

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from espnet_prune.report.bootstrap import interval, paired
from espnet_prune.report.counts import Counts, count, percent
from espnet_prune.utils import UserError

HEAD = (
    "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|\n"
    "|---|---|---|---|---|---|---|---|---|"
)


class SetResult(NamedTuple):
    """The utterances of one set: who speaks, and the counts per measure."""

    speakers: List[str]
    counts: Dict[str, List[Counts]]


def read_text(path: Path, empty: bool = True) -> Dict[str, str]:
    """Read a Kaldi table {utterance: text}.

    Raises:
        UserError: The file is missing or empty, or (not `empty`) a text is.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    table: Dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = line.strip().partition(" ")
        if key:
            table[key] = value.strip()
            if not empty and not table[key]:
                raise UserError(f"{path}: utterance '{key}' has an empty text")
    if not table:
        raise UserError(f"{path}: the file is empty")
    return table


def tokenizers(bpemodel: Optional[str] = None) -> Dict[str, Callable[[str], List[str]]]:
    """How text becomes tokens for each measure; TER needs a sentencepiece model.

    Raises:
        UserError: The sentencepiece model is missing.
    """
    result: Dict[str, Callable[[str], List[str]]] = {
        "wer": str.split,
        "cer": lambda text: ["<space>" if c == " " else c for c in text],
    }
    if bpemodel:
        import sentencepiece

        if not Path(bpemodel).is_file():
            raise UserError(f"{bpemodel}: no such sentencepiece model (--bpemodel)")
        model = sentencepiece.SentencePieceProcessor(model_file=bpemodel)
        result["ter"] = lambda text: model.encode(text, out_type=str)
    return result


def score_set(
    ref: Path,
    hyp: Path,
    measures: Dict[str, Callable[[str], List[str]]],
    folder: Path,
    backend: str,
) -> SetResult:
    """Score one set; files go to folder/score_{wer,cer,ter}.

    Args:
        ref: text of the references; utt2spk may lie beside it.
        hyp: text of the hypotheses.
        measures: See `tokenizers`.
        folder: Where the files go.
        backend: "sclite" or "jiwer".

    Raises:
        UserError: A file is missing, or the two have not the same utterances.
    """
    refs, hyps = read_text(ref, empty=False), read_text(hyp)
    for a, b, path in ((refs, hyps, hyp), (hyps, refs, ref)):
        missing = sorted(set(a) - set(b))
        if missing:
            raise UserError(
                f"{path}: {len(missing)} utterances are missing, the first is "
                f"'{missing[0]}'"
            )
    keys = sorted(refs)
    spk = ref.parent / "utt2spk"
    speaker = read_text(spk) if spk.is_file() else {}
    labels = [f"{speaker.get(key, key)}-{key}" for key in keys]
    counts = {
        name: count(
            labels,
            [tokens(refs[key]) for key in keys],
            [tokens(hyps[key]) for key in keys],
            folder / f"score_{name}",
            backend,
        )
        for name, tokens in measures.items()
    }
    return SetResult([speaker.get(key, key) for key in keys], counts)


def join(results: Sequence[SetResult]) -> SetResult:
    """Several sets as one."""
    names = results[0].counts
    return SetResult(
        [speaker for r in results for speaker in r.speakers],
        {name: [c for r in results for c in r.counts[name]] for name in names},
    )


def figures(counts: Sequence[Counts], groups: Any, samples: int) -> Dict[str, Any]:
    """The numbers of one table row, with the interval of the error rate.

    Args:
        counts: Counts of each utterance.
        groups: What the bootstrap draws together, or None.
        samples: Number of resamplings; 0 leaves the interval out.
    """
    total = Counts(*map(sum, zip(*counts)))
    wrong = sum(c.errors > 0 for c in counts)
    result: Dict[str, Any] = {
        "snt": len(counts),
        "wrd": total.words,
        "corr": total.corr,
        "sub": total.sub,
        "del": total.dele,
        "ins": total.ins,
        "err": total.errors,
        "wrong_snt": wrong,
        "rate": 100.0 * total.errors / max(total.words, 1),
        "snt_rate": 100.0 * wrong / len(counts),
    }
    if samples:
        errors, words = [c.errors for c in counts], [c.words for c in counts]
        result["interval"] = list(interval(errors, words, groups, samples))
    return result


def compare(
    this: Sequence[Counts], other: Sequence[Counts], groups: Any, samples: int
) -> Dict[str, Any]:
    """Paired bootstrap of two systems on the same utterances, see `paired`."""
    return paired(
        [c.errors for c in this],
        [c.errors for c in other],
        [c.words for c in this],
        groups,
        samples,
    )


def row(name: str, values: Dict[str, Any]) -> str:
    """One row of ESPnet's result table, percentages with one decimal."""
    kinds = ("corr", "sub", "del", "ins", "err")
    parts = [percent(values[kind], values["wrd"]) for kind in kinds]
    parts.append(percent(values["wrong_snt"], values["snt"]))
    return f"|{name}|{values['snt']}|{values['wrd']}|{'|'.join(parts)}|"


def tables(name: str, sets: Dict[str, Dict[str, Dict[str, Any]]]) -> str:
    """ESPnet's tables, one per measure, and one with the intervals.

    Args:
        name: What stands before the name of the set in each row.
        sets: {set: {measure: figures}}.

    Returns:
        Markdown.
    """
    measures = list(next(iter(sets.values())))
    lines = []
    for measure in measures:
        lines += [f"### {measure.upper()}", "", HEAD]
        lines += [row(f"{name}/{s}", values[measure]) for s, values in sets.items()]
        lines.append("")
    rows = []
    for s, values in sets.items():
        for measure in measures:
            v = values[measure]
            if "interval" not in v:
                continue
            text = f"|{name}/{s}|{measure.upper()}|{v['rate']:.2f}|"
            text += f"{v['interval'][0]:.2f} - {v['interval'][1]:.2f}|"
            if "against" in v:
                a = v["against"]
                text += f"{a['difference']:+.2f} ({a['interval'][0]:+.2f} - "
                text += f"{a['interval'][1]:+.2f})|"
            rows.append(text)
    if rows:
        more = any("against" in v for values in sets.values() for v in values.values())
        lines += ["### 95 % intervals (bootstrap)", ""]
        lines += ["|dataset|measure|rate|interval|" + ("difference|" if more else "")]
        lines += ["|---|---|---|---|" + ("---|" if more else "")]
        lines += rows + [""]
    return "\n".join(lines)

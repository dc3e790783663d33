# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""WER, CER and TER of decoded text over one or several sets, and the intents.

In spoken language understanding a text is an intent, one word, and the transcript.
"""

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_prune.report.bootstrap import interval, paired
from espnet_prune.report.counts import Counts, count, percent
from espnet_prune.utils import UserError, atomic_write

INTENT = "intent"  # the measure of which the right ones are counted, not the errors
HEAD = (
    "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|\n"
    "|---|---|---|---|---|---|---|---|---|"
)
INTENT_HEAD = "|dataset|Snt|Intent Classification (%)|\n|---|---|---|"


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


def split_intent(text: str) -> Tuple[str, str]:
    """The intent, which is the first word of a text, and the rest of it."""
    intent, _, rest = text.partition(" ")
    return intent, rest.strip()


def count_intents(
    labels: Sequence[str], refs: Sequence[str], hyps: Sequence[str], folder: Path
) -> List[Counts]:
    """Compare intents as they are spelled; folder/result.txt lists the wrong ones.

    Args:
        labels: "speaker-utterance" of each utterance.
        refs: Intents of the references.
        hyps: Intents of the hypotheses; an empty one is a deletion.
        folder: Where the file goes.
    """
    counts = [
        Counts(int(ref == hyp), int(ref != hyp and bool(hyp)), int(not hyp), 0)
        for ref, hyp in zip(refs, hyps)
    ]
    with atomic_write(folder / "result.txt") as stream:
        right = sum(c.corr for c in counts)
        stream.write(f"{right} of {len(counts)} intents are right\n")
        for label, ref, hyp, c in zip(labels, refs, hyps, counts):
            if c.errors:
                stream.write(f"id: ({label})\nREF:  {ref}\nHYP:  {hyp}\n\n")
    return counts


def score_set(
    ref: Path,
    hyp: Path,
    measures: Dict[str, Callable[[str], List[str]]],
    folder: Path,
    backend: str,
    use_intent: bool = False,
) -> SetResult:
    """Score one set; files go to folder/score_{wer,cer,ter,intent}.

    Args:
        ref: text of the references; utt2spk may lie beside it.
        hyp: text of the hypotheses.
        measures: See `tokenizers`.
        folder: Where the files go.
        backend: "sclite" or "jiwer".
        use_intent: Compare the first words; the measures are those of the rest.

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
    texts = [[table[key] for key in keys] for table in (refs, hyps)]
    counts: Dict[str, List[Counts]] = {}
    if use_intent:
        pairs = [[split_intent(text) for text in side] for side in texts]
        intents, texts = (
            [[pair[i] for pair in side] for side in pairs] for i in (0, 1)
        )
        counts[INTENT] = count_intents(labels, *intents, folder / f"score_{INTENT}")
    for name, tokens in measures.items():
        sides = [[tokens(text) for text in side] for side in texts]
        counts[name] = count(labels, *sides, folder / f"score_{name}", backend)
    return SetResult([speaker.get(key, key) for key in keys], counts)


def join(results: Sequence[SetResult]) -> SetResult:
    """Several sets as one."""
    names = results[0].counts
    return SetResult(
        [speaker for r in results for speaker in r.speakers],
        {name: [c for r in results for c in r.counts[name]] for name in names},
    )


def _tops(measure: str, counts: Sequence[Counts]) -> List[int]:
    """What the rate is made of: errors, or the intents that are right."""
    return [c.corr if measure == INTENT else c.errors for c in counts]


def figures(
    measure: str, counts: Sequence[Counts], groups: Any, samples: int
) -> Dict[str, Any]:
    """The numbers of one table row, with the interval of the rate.

    Args:
        measure: Its rate is one of errors; that of "intent" is the accuracy.
        counts: Counts of each utterance.
        groups: What the bootstrap draws together, or None.
        samples: Number of resamplings; 0 leaves the interval out.
    """
    total = Counts(*map(sum, zip(*counts)))
    wrong = sum(c.errors > 0 for c in counts)
    tops = _tops(measure, counts)
    result: Dict[str, Any] = {
        "snt": len(counts),
        "wrd": total.words,
        "corr": total.corr,
        "sub": total.sub,
        "del": total.dele,
        "ins": total.ins,
        "err": total.errors,
        "wrong_snt": wrong,
        "rate": 100.0 * sum(tops) / max(total.words, 1),
        "snt_rate": 100.0 * wrong / len(counts),
    }
    if samples:
        words = [c.words for c in counts]
        result["interval"] = list(interval(tops, words, groups, samples))
    return result


def compare(
    measure: str,
    this: Sequence[Counts],
    other: Sequence[Counts],
    groups: Any,
    samples: int,
) -> Dict[str, Any]:
    """Paired bootstrap of two systems on the same utterances, see `paired`.

    The difference is one of rates as in `figures`; `better` means fewer errors, always.
    """
    tops = [_tops(measure, side) for side in (this, other)]
    result = paired(*tops, [c.words for c in this], groups, samples)
    if measure == INTENT:
        result["better"] = 1.0 - result["better"]
    return result


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
        if measure == INTENT:
            lines += ["### Intent", "", INTENT_HEAD]
            for s, values in sets.items():
                v = values[measure]
                accuracy = percent(v["corr"], v["snt"])
                lines.append(f"|{name}/{s}|{v['snt']}|{accuracy}|")
        else:
            lines += [f"### {measure.upper()}", "", HEAD]
            lines += [row(f"{name}/{s}", values[measure]) for s, values in sets.items()]
        lines.append("")
    rows = []
    for s, values in sets.items():
        for measure in measures:
            v = values[measure]
            if "interval" not in v:
                continue
            label = "intent accuracy" if measure == INTENT else measure.upper()
            text = f"|{name}/{s}|{label}|{v['rate']:.2f}|"
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

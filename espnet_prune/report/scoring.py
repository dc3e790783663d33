# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""WER, CER and TER of decoded text over one or several sets, and the intents.

In spoken language understanding a text is an intent, one word, and the transcript.
"""

from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from espnet_prune.data.cleaning import text_cleaner, to_characters, to_words
from espnet_prune.data.corpus import whole_set
from espnet_prune.data.tables import read_table
from espnet_prune.report.bootstrap import drawn, interval, paired, speakers_of
from espnet_prune.report.counts import Counts, count, pick_backend
from espnet_prune.symbols import read_symbols
from espnet_prune.utils import UserError, atomic_write, read_mapping, write_json

INTENT = "intent"  # the measure of which the right ones are counted, not the errors


class SetResult(NamedTuple):
    """The utterances of one set: who speaks, and the counts per measure."""

    speakers: List[str]
    counts: Dict[str, List[Counts]]


def tokenizers(
    bpemodel: Optional[str] = None, symbols: Sequence[str] = ()
) -> Dict[str, Callable[[str], List[str]]]:
    """How text becomes tokens for each measure; TER needs a sentencepiece model.

    Args:
        bpemodel: The sentencepiece model.
        symbols: Non-linguistic symbols; as in asr.sh, WER and CER leave them out.

    Raises:
        UserError: The sentencepiece model is missing.
    """
    result: Dict[str, Callable[[str], List[str]]] = {
        "wer": lambda text: to_words(text, symbols),
        "cer": lambda text: to_characters(text, symbols),
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
    intent, *rest = text.split(maxsplit=1) or [""]
    return intent, rest[0] if rest else ""


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


def read_intents(text: str, labels: Iterable[str]) -> Dict[str, Counts]:
    """Read what `count_intents` wrote; a wrong one counts as a substitution.

    Args:
        text: Content of its result.txt.
        labels: Of all utterances, in lower case.

    Raises:
        UserError: The file is of other utterances.
    """
    head, *lines = text.split("\n")
    wrong = {line[5:-1].lower() for line in lines if line.startswith("id: (")}
    found = {label: Counts(int(label not in wrong), 0, 0, 0) for label in labels}
    found.update((key, Counts(0, 1, 0, 0)) for key in wrong)
    right = sum(c.corr for c in found.values())
    if head != f"{right} of {len(found)} intents are right":
        raise UserError(
            f"score_{INTENT}/result.txt: is of other utterances than the error rates; "
            "score again"
        )
    return found


def score_set(
    ref: Path,
    hyp: Path,
    measures: Dict[str, Callable[[str], List[str]]],
    folder: Path,
    backend: str,
    use_intent: bool = False,
    cleaner: Optional[str] = None,
) -> SetResult:
    """Score one set; files go to folder/score_{wer,cer,ter,intent}.

    Args:
        ref: text of the references; utt2spk may lie beside it.
        hyp: text of the hypotheses.
        measures: See `tokenizers`.
        folder: Where the files go.
        backend: "sclite" or "jiwer".
        use_intent: Compare the first words; the measures are those of the rest.
        cleaner: Of the model, for the references.

    Raises:
        UserError: A file is missing, an utterance is there twice, or the two have not
            the same utterances.
    """
    clean = text_cleaner(cleaner)
    refs, hyps = read_table(ref), read_table(hyp)
    for a, b, path in ((refs, hyps, hyp), (hyps, refs, ref)):
        missing = sorted(set(a) - set(b))
        if missing:
            raise UserError(
                f"{path}: {len(missing)} utterances are missing, the first is "
                f"'{missing[0]}'"
            )
    keys = sorted(refs)
    spk = ref.parent / "utt2spk"
    speaker = read_table(spk) if spk.is_file() else {}
    labels = [f"{speaker.get(key, key)}-{key}" for key in keys]
    texts = [[table[key] for key in keys] for table in (refs, hyps)]
    counts: Dict[str, List[Counts]] = {}
    if use_intent:
        pairs = [[split_intent(text) for text in side] for side in texts]
        intents, texts = (
            [[pair[i] for pair in side] for side in pairs] for i in (0, 1)
        )
        counts[INTENT] = count_intents(labels, *intents, folder / f"score_{INTENT}")
    # as in asr.sh, what was decoded is not cleaned
    texts = [list(map(clean, texts[0])), [" ".join(text.split()) for text in texts[1]]]
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
        groups: What the bootstrap draws together, the speakers, or None.
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
        result["drawn"] = drawn(groups, len(counts))
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


def model_options(
    config: Optional[Path],
    cleaner: Optional[str],
    symbols: Optional[str],
    intents: bool,
) -> Tuple[Optional[str], List[str]]:
    """Return the cleaner and the non-linguistic symbols of a model.

    Args:
        config: Its config.yaml, if there is one.
        cleaner: Given instead of the model's.
        symbols: File of symbols given instead of the model's; "none" is no file.
        intents: Whether texts begin with an intent; those are the model's symbols.

    Raises:
        UserError: The config or the file of the symbols cannot be read.
    """
    own = read_mapping(config) if config else {}
    if symbols is None and not intents:
        symbols = own.get("non_linguistic_symbols")
    found = [] if symbols in (None, "none") else read_symbols(symbols, "word")
    return cleaner or own.get("cleaner"), found


def score(
    ref: Path,
    hyp: Path,
    sets: str = "",
    bpemodel: Optional[str] = None,
    use_intent: bool = False,
    model_config: Optional[Path] = None,
    cleaner: Optional[str] = None,
    nlsyms_txt: Optional[str] = None,
    against: Optional[Path] = None,
    output_dir: Optional[Path] = None,
    backend: str = "auto",
    bootstrap: int = 10000,
    bootstrap_by: str = "auto",
) -> Dict[str, Any]:
    """Score all sets, and write the counts and score.json; the options are `score`'s.

    Returns:
        What score.json holds.

    Raises:
        UserError: A file cannot be read, or sets are not the same on both sides.
    """
    names = sets.split()
    if bootstrap < 0:
        raise UserError("--bootstrap must not be negative")
    backend = pick_backend(backend)
    out = output_dir or (hyp if names else hyp.parent)
    cleaner, symbols = model_options(model_config, cleaner, nlsyms_txt, use_intent)
    how = (backend, use_intent, cleaner)
    measures = tokenizers(bpemodel, symbols)

    def one(decoded: Path, folder: Path) -> Dict[str, SetResult]:
        if not names:
            return {"": score_set(ref, decoded, measures, folder, *how)}
        result = {}
        for s in names:
            texts = (whole_set(ref, s) / "text", decoded / s / "text")
            result[s] = score_set(*texts, measures, folder / s, *how)
        if len(names) > 1:
            result["+".join(names)] = join(list(result.values()))
        return result

    this = one(hyp, out)
    other = one(against, out / "against") if against else {}
    found: Dict[str, Dict[str, Any]] = {}
    for s, result in this.items():
        groups: Optional[Sequence[str]] = None
        if bootstrap_by != "utterance":
            groups = speakers_of(result.speakers)
        found[s] = {}
        for measure, counts in result.counts.items():
            found[s][measure] = figures(measure, counts, groups, bootstrap)
            if other and bootstrap:
                found[s][measure]["against"] = compare(
                    measure, counts, other[s].counts[measure], groups, bootstrap
                )
    summary: Dict[str, Any] = {"backend": backend, "sets": found}
    if against:
        summary["against"] = str(against)
    write_json(summary, out / "score.json")
    return summary

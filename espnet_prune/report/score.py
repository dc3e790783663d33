# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Score all sets of a decoding, alone or against another system's."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from espnet_prune.data.corpus import whole_set
from espnet_prune.report import scoring
from espnet_prune.report.bootstrap import speakers_of
from espnet_prune.report.counts import pick_backend
from espnet_prune.symbols import read_symbols
from espnet_prune.utils import UserError, read_mapping, write_json


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
    measures = scoring.tokenizers(bpemodel, symbols)

    def one(decoded: Path, folder: Path) -> Dict[str, scoring.SetResult]:
        if not names:
            return {"": scoring.score_set(ref, decoded, measures, folder, *how)}
        result = {}
        for s in names:
            texts = (whole_set(ref, s) / "text", decoded / s / "text")
            result[s] = scoring.score_set(*texts, measures, folder / s, *how)
        if len(names) > 1:
            result["+".join(names)] = scoring.join(list(result.values()))
        return result

    this = one(hyp, out)
    other = one(against, out / "against") if against else {}
    figures: Dict[str, Dict[str, Any]] = {}
    for s, result in this.items():
        groups: Optional[Sequence[str]] = None
        if bootstrap_by != "utterance":
            groups = speakers_of(result.speakers)
        figures[s] = {}
        for measure, counts in result.counts.items():
            figures[s][measure] = scoring.figures(measure, counts, groups, bootstrap)
            if other and bootstrap:
                figures[s][measure]["against"] = scoring.compare(
                    measure, counts, other[s].counts[measure], groups, bootstrap
                )
    summary: Dict[str, Any] = {"backend": backend, "sets": figures}
    if against:
        summary["against"] = str(against)
    write_json(summary, out / "score.json")
    return summary

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Corrects, substitutions, deletions and insertions, by sclite or as sclite does.

sclite charges 4 for a substitution and 3 for a deletion or an insertion, the usual
edit distance charges 1 for each: the two differ in a few utterances of a test set.
Without sclite we take jiwer's alignment wherever it provably has sclite's counts and
repeat sclite's dynamic programming elsewhere, so that both ways give the same table.
"""

import collections
import re
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_prune.utils import UserError, atomic_write

Tokens = Sequence[str]
_UPPER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_SCORES = re.compile(r"Scores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)")
BACKENDS = ("auto", "sclite", "jiwer")


class Counts(NamedTuple):
    """The counts of one utterance or of a set, in tokens."""

    corr: int
    sub: int
    dele: int
    ins: int

    @property
    def words(self) -> int:
        """Tokens of the reference."""
        return self.corr + self.sub + self.dele

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.sub + self.dele + self.ins


def percent(part: int, whole: int) -> str:
    """A percentage with one decimal, halves rounded up as sclite does."""
    tenths = (2000 * part + whole) // (2 * whole) if whole else 0
    return f"{tenths // 10}.{tenths % 10}"


def sclite_command() -> Optional[List[str]]:
    """How sclite is called here: SCTK's own name or Debian's wrapper, else None."""
    if shutil.which("sclite"):
        return ["sclite"]
    if shutil.which("sctk"):
        return ["sctk", "sclite"]
    return None


def pick_backend(name: str) -> str:
    """Resolve "auto" to "sclite" where it is installed, otherwise to "jiwer".

    Raises:
        UserError: An unknown name, or sclite was asked for and is not there.
    """
    if name not in BACKENDS:
        raise UserError(f"unknown scoring backend '{name}', use {', '.join(BACKENDS)}")
    if name == "sclite" and sclite_command() is None:
        raise UserError("sclite is not installed (Debian: sctk); use --backend jiwer")
    if name == "auto":
        return "sclite" if sclite_command() else "jiwer"
    return name


def align(ref: Tokens, hyp: Tokens) -> Counts:
    """Count by sclite's dynamic programming, with its costs and its order of ties.

    Args:
        ref: Tokens of the reference.
        hyp: Tokens of the hypothesis.

    Returns:
        The counts of the best path; of equal paths the one that sclite takes.
    """
    # one row per reference token; a cell is (cost, corrects, substitutions)
    row: List[Tuple[int, int, int]] = [(3 * j, 0, 0) for j in range(len(hyp) + 1)]
    for i, r in enumerate(ref):
        above, row = row, [(3 * (i + 1), 0, 0)]
        for j, h in enumerate(hyp):
            cost, corr, sub = above[j]
            if r == h:
                best = (cost, corr + 1, sub)
            else:
                best = (cost + 4, corr, sub + 1)
            if row[j][0] + 3 < best[0]:
                best = (row[j][0] + 3,) + row[j][1:]
            if above[j + 1][0] + 3 < best[0]:
                best = (above[j + 1][0] + 3,) + above[j + 1][1:]
            row.append(best)
    _, corr, sub = row[-1]
    return Counts(corr, sub, len(ref) - corr - sub, len(hyp) - corr - sub)


def count_jiwer(refs: Sequence[Tokens], hyps: Sequence[Tokens]) -> List[Counts]:
    """Count by jiwer's aligner, and by `align` where its counts may not be sclite's.

    It minimises the errors: with N tokens on both sides together they are
    N - S - 2 C, so it maximises S + 2 C; sclite maximises S + 3 C. If its C is
    already the longest common subsequence, no other path can be sclite's best.
    """
    # what jiwer calls; itself it would split or drop white space in a token
    from rapidfuzz.distance import LCSseq, Levenshtein

    result = []
    for ref, hyp in zip(refs, hyps):
        steps = collections.Counter(op.tag for op in Levenshtein.editops(ref, hyp))
        sub, dele, ins = (steps[tag] for tag in ("replace", "delete", "insert"))
        counts = Counts(len(ref) - sub - dele, sub, dele, ins)
        same = counts.corr == LCSseq.similarity(ref, hyp)
        result.append(counts if same else align(ref, hyp))
    return result


def count_sclite(ref_trn: Path, hyp_trn: Path, result: Path) -> Dict[str, Counts]:
    """Run sclite on two trn files, keep its whole output in `result`.

    Returns:
        As `parse_result`.

    Raises:
        UserError: sclite failed.
    """
    command = sclite_command() or ["sclite"]
    command += ["-r", str(ref_trn), "trn", "-h", str(hyp_trn), "trn"]
    command += ["-i", "rm", "-o", "all", "stdout"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode("utf-8", "replace")
    with atomic_write(result) as stream:
        stream.write(output)
    if done.returncode:
        raise UserError(f"sclite failed, see {result}")
    return parse_result(output)


def parse_result(text: str) -> Dict[str, Counts]:
    """Read the counts of each utterance from a result.txt, sclite's or ours.

    Returns:
        The counts by the utterance label that stands in parentheses, lower case.

    Raises:
        UserError: A label is there twice.
    """
    found: Dict[str, Counts] = {}
    label = ""
    for line in text.split("\n"):
        if line.startswith("id: ("):
            label = line.rstrip()[5:-1].lower()
        match = _SCORES.match(line)
        if match and label in found:
            raise UserError(
                f"result.txt: '{label}' is there twice; rename an utterance"
            )
        if match:
            found[label] = Counts(*map(int, match.groups()))
    return found


def write_trn(path: Path, labels: Sequence[str], tokens: Sequence[Tokens]) -> None:
    """Write a trn file: tokens, then the label in parentheses."""
    with atomic_write(path) as stream:
        for label, words in zip(labels, tokens):
            stream.write(f"{' '.join(words)}\t({label})\n")


def count(
    labels: Sequence[str],
    refs: Sequence[Tokens],
    hyps: Sequence[Tokens],
    folder: Path,
    backend: str = "jiwer",
) -> List[Counts]:
    """Count the errors of one set; ref.trn, hyp.trn and result.txt go to `folder`.

    As in ESPnet, the case of ASCII letters does not matter.

    Args:
        labels: "speaker-utterance" of each utterance.
        refs: Tokens of the references.
        hyps: Tokens of the hypotheses.
        folder: Where the files go.
        backend: "sclite" or "jiwer".

    Raises:
        UserError: sclite failed or left out an utterance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_trn(folder / "ref.trn", labels, refs)
    write_trn(folder / "hyp.trn", labels, hyps)
    if backend == "sclite":
        found = count_sclite(
            folder / "ref.trn", folder / "hyp.trn", folder / "result.txt"
        )
        missing = [label for label in labels if label.lower() not in found]
        if missing:
            raise UserError(f"{folder}/result.txt: sclite left out '{missing[0]}'")
        return [found[label.lower()] for label in labels]
    refs = [[w.translate(_UPPER) for w in ref] for ref in refs]
    hyps = [[w.translate(_UPPER) for w in hyp] for hyp in hyps]
    counts = count_jiwer(refs, hyps)
    with atomic_write(folder / "result.txt") as stream:
        stream.write(f"{summary(counts)}\n\n")
        for label, ref, hyp, c in zip(labels, refs, hyps, counts):
            stream.write(f"id: ({label})\n")
            stream.write("Scores: (#C #S #D #I) {} {} {} {}\n".format(*c))
            stream.write(f"REF:  {' '.join(ref)}\nHYP:  {' '.join(hyp)}\n\n")
    return counts


def summary(counts: Sequence[Counts]) -> str:
    """sclite's two Sum lines, percentages and numbers, for tools that look for them."""
    total = Counts(*map(sum, zip(*counts)))
    wrong = sum(c.errors > 0 for c in counts)
    numbers = (*total, total.errors)
    shares = [percent(x, total.words) for x in numbers] + [percent(wrong, len(counts))]
    size = f"|{len(counts):6d} {total.words:7d}  |"
    lines = ["| SPKR   | # Snt   # Wrd  | Corr    Sub    Del    Ins    Err  S.Err |"]
    lines += ["| Sum/Avg" + size + "".join(f" {v:>5} " for v in shares) + "|"]
    lines += [
        "| Sum    " + size + "".join(f" {v:5d} " for v in (*numbers, wrong)) + "|"
    ]
    return "\n".join(lines)

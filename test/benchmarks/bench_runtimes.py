# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What runtimes of others hear in a data directory, and how fast they are.

    python test/benchmarks/bench_runtimes.py --data DATA dense=DIR:OUT bpe=DIR:OUT ...

takes models and what `deploy` has written of them; call it where the files of the
models' config are found. Each model is written, in fp32 and int8, for every slot of
every runtime that takes it, and all utterances are recognised by the real package, by
our runtime, and in torch by ESPnet's encoder and the best path of CTC. Some of them are
recognised in turns on one thread, in CPU time, the fastest turn of each.

A text that differs gets its reason: how close the two best tokens of a frame are, and
whether our runtime says the same with the onnxruntime that the package brings, where
--onnxruntime RUNTIME=FOLDER has it (pip install --target FOLDER onnxruntime==...).

Ends in one line of JSON. The exit code is 1, with a sentence, where a text differs in
fp32, or in int8 without reason, or more do than `deploy` lets pass. `--break level`
gives packages speech of another level, `--break tokens` changes two tokens of their
lists: both have to fail.
"""

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
LEVEL = 0.25  # of samples, where a break is asked for
Speech = List[np.ndarray]
Timed = Callable[[Speech], Tuple[List[str], float]]  # texts, seconds of CPU
AGAIN = """
import sys
import numpy as np
import onnxruntime
from espnet_prune.runtime import Recognizer
assert onnxruntime.__file__.startswith(sys.argv[3]), onnxruntime.__file__
ours = Recognizer(sys.argv[1], precision=sys.argv[2], decoding="ctc_greedy", piece=1e6)
with np.load(sys.argv[4]) as speech:
    print(onnxruntime.__version__, *(ours(speech[k]).text for k in speech), sep="\\n")
"""


def timed(hear: Callable[[np.ndarray], str], speech: Speech) -> Tuple[List[str], float]:
    """Return texts, and the seconds of CPU that they take."""
    start = time.process_time()
    texts = [hear(samples) for samples in speech]
    return texts, time.process_time() - start


def _open(slot: Any, folder: Path) -> None:
    global HEAR  # of this process, which is the package's own
    HEAR = slot.open(folder)


def _hear(speech: Speech) -> Tuple[List[str], float]:
    return timed(HEAR, speech)


@contextlib.contextmanager
def opened(slot: Any, folder: Path) -> Iterator[Timed]:
    """Open a real package in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, _open, (slot, folder)) as pool:
        yield lambda speech: pool.submit(_hear, speech).result()


def swap_tokens(folder: Path) -> None:
    """Exchange the texts of two tokens of a list."""
    lists = [p for p in folder.glob("*.txt") if re.search("token|vocab", p.name)]
    rows = [line.rsplit(" ", 1) for line in lists[0].read_text("utf-8").splitlines()]
    rows[3][0], rows[4][0] = rows[4][0], rows[3][0]
    lists[0].write_text("".join(" ".join(row) + "\n" for row in rows), "utf-8")


def heard_with(library: str, out: Path, precision: str, speech: Speech) -> List[str]:
    """Return the release of another onnxruntime, and our runtime's texts with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.npz"
        np.savez(path, **{f"{i:05d}": samples for i, samples in enumerate(speech)})
        words = [sys.executable, "-c", AGAIN, out, precision, library, path]
        env = dict(os.environ, PYTHONPATH=f"{library}:{ROOT}")
        said = subprocess.check_output(list(map(str, words)), env=env)
    return said.decode().splitlines()


class Corpus:
    """Speech with its texts, in the order of a data directory."""

    def __init__(self, speech: Any) -> None:
        from espnet_prune.report.bootstrap import speakers_of

        self.names = list(speech.audio)
        self.audio = [speech.audio[name] for name in self.names]
        self.words = [speech.texts[name].split() for name in self.names]
        self.groups = speakers_of([speech.speakers.get(n, n) for n in self.names])

    def wer(self, texts: List[str]) -> List[float]:
        """Return the error rate of texts and its interval, in percent."""
        from rapidfuzz.distance import Levenshtein

        from espnet_prune.report.bootstrap import interval

        pairs = zip(texts, self.words)
        wrong = [Levenshtein.distance(text.split(), words) for text, words in pairs]
        sizes = list(map(len, self.words))
        found = interval(wrong, sizes, groups=self.groups)
        return [round(x, 2) for x in (100 * sum(wrong) / sum(sizes), *found)]


class Bench:
    """What is measured on a corpus; `missed` are sentences on what should not be."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.corpus = args, None
        self.libraries = dict(text.split("=", 1) for text in args.onnxruntime)
        self.rows: List[Dict[str, Any]] = []
        self.missed: List[str] = []

    def model(self, name: str, model: str, out: Path) -> None:
        """Add a row for each slot and precision of a deployed model."""
        from espnet_prune.deploy.int8.choice.speech import find_speech
        from espnet_prune.deploy.targets import TARGETS
        from espnet_prune.deploy.targets.compare import WHOLE
        from espnet_prune.measure.latency import quiet
        from espnet_prune.runtime import Recognizer
        from espnet_prune.runtime.package import read_package
        from test.benchmarks.bench_deployed import torch_calls

        package = read_package(out)
        files = package.config.files["model"]
        with tempfile.TemporaryDirectory() as temporary, quiet(1):
            place = Path(temporary)
            config, _, hear = torch_calls(model, place / "torch")
            if self.corpus is None:
                speech = find_speech(self.args.data, config, place, most=10**6)
                self.corpus = Corpus(speech)
            in_torch = functools.partial(timed, hear)
            texts = in_torch(self.corpus.audio)[0]
            for target in TARGETS.values():
                if target.name == "web":  # which has a benchmark of its own
                    continue
                fit = [s for s in target.slots if s.unfit(package, config) is None]
                for slot in fit:
                    for precision in (p for p in ("fp32", "int8") if p in files):
                        file = package.file("model", precision)
                        folder = place / f"{slot.name}.{precision}"
                        folder.mkdir()
                        slot.write(package, file, folder)
                        ours = Recognizer(
                            out, precision=precision, decoding="ctc_greedy", **WHOLE
                        )
                        row = {
                            "model": name,
                            "runtime": target.name,
                            "release": target.version(),
                            "slot": slot.name,
                            "precision": precision,
                            "mb": [megabytes(file), megabytes(folder)],
                        }
                        library = self.libraries.get(target.name, "")
                        heard = self.slot(slot, folder, ours, (in_torch, texts))
                        row.update(heard[0])
                        row["differ"] = self.differ(ours, precision, *heard[1], library)
                        self.tell(row)

    def slot(
        self, slot: Any, folder: Path, ours: Any, torch: Tuple[Timed, List[str]]
    ) -> Tuple[Dict[str, Any], Tuple[List[str], List[str]]]:
        """Return errors and times of a slot, and the texts of ours and theirs."""
        from espnet_prune.data.calibration import evenly

        corpus, broken = self.corpus, self.args.broken
        picked = list(evenly(corpus.audio, self.args.timed))
        seconds = sum(map(len, picked)) / 16000
        if broken == "tokens":
            swap_tokens(folder)
        level = np.float32(LEVEL if broken == "level" else 1)
        with opened(slot, folder) as theirs:
            said = theirs([level * samples for samples in corpus.audio])[0]
            our_call = functools.partial(timed, lambda samples: ours(samples).text)
            wanted = our_call(corpus.audio)[0]
            calls = {"torch": torch[0], "ours": our_call, "theirs": theirs}
            spent: Dict[str, List[float]] = {key: [] for key in calls}
            for turn in range(self.args.turns):
                for key in list(calls)[:: -1 if turn % 2 else 1]:
                    spent[key].append(calls[key](picked)[1] / seconds)
        texts = {"torch": torch[1], "ours": wanted, "theirs": said}
        spaced = [slot.spaced(text) for text in wanted]
        row = {
            "alike": sum(map(str.__eq__, spaced, said)),
            "of": len(said),
            "wer": {key: corpus.wer(found) for key, found in texts.items()},
            "rtf": {key: round(min(s), 5) for key, s in spent.items()},
        }
        return row, (spaced, said)

    def differ(
        self,
        ours: Any,
        precision: str,
        wanted: List[str],
        theirs: List[str],
        library: str,
    ) -> List[Dict[str, Any]]:
        """Return a row for each text that differs: both, the gap, and the reason."""
        from espnet_prune.deploy.targets.compare import CLOSE, gap

        rows = [i for i, pair in enumerate(zip(wanted, theirs)) if len({*pair}) > 1]
        int8, release, again = precision == "int8", "", {}
        speech = [self.corpus.audio[i] for i in rows]
        if rows and library:
            release, *said = heard_with(library, ours.package.folder, precision, speech)
            again = dict(zip(rows, said))
        found = []
        for i, samples in zip(rows, speech):
            close, reason = gap(ours, samples), None
            if int8 and again.get(i) == theirs[i]:
                reason = f"our runtime says the same with onnxruntime {release}"
            elif int8 and close < CLOSE:
                reason = "int8 is rounded otherwise, where two tokens are close"
            row = {"utterance": self.corpus.names[i], "gap": close, "reason": reason}
            found.append({**row, "ours": wanted[i], "theirs": theirs[i]})
        return found

    def tell(self, row: Dict[str, Any]) -> None:
        """Keep and print a row."""
        from espnet_prune.deploy.targets.compare import most_others

        self.rows.append(row)
        about = " ".join(row[key] for key in ("model", "runtime", "slot", "precision"))
        wer = {key: found[0] for key, found in row["wer"].items()}
        print(
            f"{about}: {row['alike']} of {row['of']} alike, WER {wer}, "
            f"RTF {row['rtf']}, MB {row['mb']}",
            flush=True,
        )
        allowed = most_others(row["precision"], row["of"])
        if len(row["differ"]) > allowed:
            self.missed.append(
                f"{about}: {len(row['differ'])} texts differ, at most {allowed} may"
            )
        bad = [other for other in row["differ"] if other["reason"] is None]
        if bad:
            self.missed.append(
                f"{about}: {len(bad)} texts differ without reason, e.g. of "
                f"{bad[0]['utterance']}: '{bad[0]['theirs']}' instead of "
                f"'{bad[0]['ours']}'"
            )


def megabytes(path: Path) -> float:
    """Return the size of a file, or of all in a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return round(sum(p.stat().st_size for p in files) / 1e6, 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="NAME=DIR:OUT")
    parser.add_argument("--data", required=True, help="data directory")
    parser.add_argument("--timed", type=int, default=20, help="utterances in turns")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(
        "--onnxruntime", action="append", default=[], metavar="RUNTIME=FOLDER"
    )
    parser.add_argument("--break", dest="broken", choices=["level", "tokens"])
    bench = Bench(parser.parse_args())
    from espnet_prune.report.bootstrap import drawn
    from espnet_prune.report.decoding import releases

    for text in bench.args.models:
        name, _, rest = text.partition("=")
        model, _, out = rest.rpartition(":")
        bench.model(name, model, Path(out))
    if not bench.rows:
        bench.missed.append("no runtime takes any of the models")
    for sentence in bench.missed:
        print(sentence, file=sys.stderr)
    corpus = bench.corpus
    about = {"data": bench.args.data, "utterances": len(corpus.names)}
    about["seconds"] = round(sum(map(len, corpus.audio)) / 16000, 1)
    about["drawn"] = drawn(corpus.groups, len(corpus.names))
    found = {"rows": bench.rows, "missed": bench.missed}
    print(json.dumps({**about, **releases(), **found}))
    sys.exit(bool(bench.missed))


if __name__ == "__main__":
    main()

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How much faster a deployed model is than the dense one in torch, and how much worse.

    python test/benchmarks/bench_deployed.py --data DATA dense=DIR:OUT half=DIR:OUT ...

takes models and what `deploy` has written of them, the dense one first; call it where
the files of the models' config are found. All utterances of a data directory are
recognised, by the best path of CTC, by every model in torch, fp32 and int8; some of
them in turns on one thread, in CPU time, the fastest of each: the encoder with its
front end, and the whole recognition from samples to text. Ends in one line of JSON.
The exit code is 1, with a sentence, where the fastest row takes more than a tenth of
the dense model's time in torch, or has more than one point of errors more.
"""

import argparse
import functools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
SHARE, POINTS = 0.10, 1.0
Call = Callable[[np.ndarray], Any]


def torch_calls(model_dir: str, folder: Path) -> Tuple[Any, Call, Call]:
    """Return config, encoder and recognition of a model in ESPnet."""
    from espnet_prune.measure.recognition import Recogniser
    from espnet_prune.models import read_model_config
    from espnet_prune.select.layers.dev_data import ids_to_text
    from espnet_prune.source import find_model

    source = find_model(model_dir, folder)
    one, config = Recogniser(*source, {}), read_model_config(source.config)
    to_text = ids_to_text(config)

    def encoder(speech: np.ndarray) -> Any:
        batch = torch.from_numpy(speech)[None]
        return one.model.encode(batch, torch.tensor([batch.shape[1]]))

    return config, encoder, lambda speech: to_text(one.greedy(speech))


def onnx_calls(out: Path, precision: str) -> Tuple[Call, Call]:
    """Return encoder and recognition of a deployed model."""
    from espnet_prune.runtime import Recognizer

    heard = Recognizer(out, precision=precision, decoding="ctc_greedy")

    def encoder(speech: np.ndarray) -> Any:
        inputs = {"speech": speech[None], "lengths": np.array([len(speech)])}
        return heard.session.run(["log_probs"], inputs)

    return encoder, lambda speech: heard(speech).text


def times(calls: Dict[Any, Call], speech: List[np.ndarray], turns: int) -> Dict:
    """Return milliseconds of an utterance, the fastest turn of each."""
    from espnet_prune.measure.latency import in_turns

    def all_of(call: Call) -> None:
        for samples in speech:
            call(samples)

    rounds = {name: functools.partial(all_of, call) for name, call in calls.items()}
    found = in_turns(rounds, turns, cpu=True)
    return {name: min(ms for ms, _ in f) / len(speech) for name, f in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="NAME=DIR:OUT")
    parser.add_argument("--data", required=True, help="data directory")
    parser.add_argument("--timed", type=int, default=20, help="utterances in turns")
    parser.add_argument("--turns", type=int, default=6)
    args = parser.parse_args()
    from rapidfuzz.distance import Levenshtein

    from espnet_prune.data.calibration import evenly
    from espnet_prune.deploy.int8.choice.speech import find_speech
    from espnet_prune.measure.latency import quiet
    from espnet_prune.report.bootstrap import drawn, interval, paired, speakers_of

    encoders: Dict[Tuple[str, str], Call] = {}
    whole: Dict[Tuple[str, str], Call] = {}
    sizes: Dict[Tuple[str, str], float] = {}
    config: Any = None
    with tempfile.TemporaryDirectory() as folder:
        for text in args.models:
            name, _, rest = text.partition("=")
            model_dir, _, out = rest.rpartition(":")
            found = torch_calls(model_dir, Path(folder) / name)
            config = config or found[0]
            encoders[name, "torch"], whole[name, "torch"] = found[1:]
            for precision in ("fp32", "int8"):
                key, file = (name, precision), Path(out) / "model.onnx"
                if precision == "int8":
                    file = file.with_suffix(".int8.onnx")
                if file.is_file():
                    encoders[key], whole[key] = onnx_calls(Path(out), precision)
                    sizes[key] = file.stat().st_size / 1e6
        speech = find_speech(args.data, config, Path(folder), most=10**6)
    names = list(speech.audio)
    words = [speech.texts[n].split() for n in names]
    groups = speakers_of([speech.speakers.get(n, n) for n in names])
    picked = [speech.audio[n] for n in evenly(names, args.timed)]
    with quiet(1):
        wrong = {
            key: [
                Levenshtein.distance(call(speech.audio[n]).split(), text)
                for n, text in zip(names, words)
            ]
            for key, call in whole.items()
        }
        spent = {
            what: times(calls, picked, args.turns)
            for what, calls in (("encoder", encoders), ("recognition", whole))
        }
    lengths, first = [len(text) for text in words], next(iter(whole))
    errors = functools.partial(interval, groups=groups)
    rows = []
    for key in whole:
        rows.append(
            {
                "model": key[0],
                "runtime": key[1],
                "mb": sizes.get(key),
                "wer": 100 * sum(wrong[key]) / sum(lengths),
                "interval": list(errors(wrong[key], lengths)),
                "against": paired(wrong[key], wrong[first], lengths, groups=groups),
                **{f"{what}_ms": ms[key] for what, ms in spent.items()},
                **{f"{what}_share": ms[key] / ms[first] for what, ms in spent.items()},
            }
        )
        row = rows[-1]
        print(
            f"{key[0]:<10} {key[1]:<6} WER {row['wer']:6.2f} "
            f"encoder {row['encoder_ms']:7.2f} ms {row['encoder_share']:.3f} "
            f"recognition {row['recognition_ms']:7.2f} ms "
            f"{row['recognition_share']:.3f}"
        )
    best = min(rows, key=lambda row: row["recognition_ms"])
    missed = []
    if best["recognition_share"] > SHARE:
        missed.append(f"the fastest takes {best['recognition_share']:.3f} of the time")
    if best["wer"] - rows[0]["wer"] > POINTS:
        missed.append(f"it has {best['wer'] - rows[0]['wer']:.2f} points more errors")
    for sentence in missed:
        print(sentence, file=sys.stderr)
    about = {"data": args.data, "utterances": len(names)}
    about["drawn"] = drawn(groups, len(names))
    about["seconds"] = sum(map(len, picked)) / 16000 / len(picked)
    print(json.dumps({**about, "rows": rows, "missed": missed}))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a contextual-block model hears as speech comes, how late, and at what cost.

    python test/benchmarks/bench_stream.py --data DATA --model DIR 40,16,16 40,8,8 ...

takes sizes of blocks: frames of a block, from one to the next, and after those that it
says; the first are those of the model. At each the model is exported, and all
utterances of a data directory are recognised by the best path of CTC: whole, in torch
and by model.onnx, and as a stream, in chunks of 333 samples. Some are timed in turns on
one thread, in CPU time, the fastest of each. The delay of a frame is from its end to
the sample with which its block is complete. Call it where the files of the model's
config are found. Ends in one line of JSON. The exit code is 1, with a sentence, where a
stream's text is not that of the whole utterance.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
CHUNK = 333
Call = Callable[[np.ndarray], str]


def streamed(stream: Any) -> Call:
    """Return what recognises an utterance that comes in chunks."""

    def call(speech: np.ndarray) -> str:
        for begin in range(0, len(speech), CHUNK):
            stream.accept(speech[begin : begin + CHUNK])
        return stream.finish().text

    return call


def delays(stream: Any, seconds: float = 20.0) -> Dict[str, float]:
    """Return how many milliseconds after their end frames are said, but the last ones.

    Args:
        stream: The model.
        seconds: Of the audio that it hears.
    """
    rate, frame = stream.config.sample_rate, stream.config.frame_ms
    found: List[float] = []
    steps, step = stream.steps, 16
    steps.reset()
    for begin in range(0, int(seconds * rate), step):
        for said in steps.accept(np.zeros(step, np.float32)):
            now = 1000 * (begin + step) / rate
            first = len(found)
            found += [now - frame * (first + i + 1) for i in range(len(said))]
    steps.reset()
    return {"mean": float(np.mean(found)), "max": max(found), "min": min(found)}


def ms_per_block(stream: Any, speech: List[np.ndarray], turns: int) -> Dict[str, Any]:
    """Return the CPU time of a block in the middle, the median of the fastest turns."""
    rows: List[List[float]] = []
    run = stream.steps.session.run

    class Timed:
        @staticmethod
        def run(*words: Any) -> Any:
            clock = time.thread_time()
            found = run(*words)
            if words[1]["last"][0] == 0 and words[1]["blocks"][0] > 0:
                rows[-1].append(1000 * (time.thread_time() - clock))
            return found

    session, stream.steps.session = stream.steps.session, Timed
    for _ in range(turns):
        rows.append([])
        for samples in speech:
            streamed(stream)(samples)
    stream.steps.session = session
    return {"block_ms": float(np.median(np.min(rows, axis=0))), "blocks": len(rows[0])}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="+", metavar="BLOCK,HOP,LOOK_AHEAD")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="data directory")
    parser.add_argument("--timed", type=int, default=20, help="utterances in turns")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    import torch
    from rapidfuzz.distance import Levenshtein

    from espnet_prune.data.calibration import evenly
    from espnet_prune.deploy.int8.choice.speech import find_speech
    from espnet_prune.deploy.onnx.describe import write_tokens
    from espnet_prune.deploy.onnx.package import export_model
    from espnet_prune.measure.latency import in_turns, quiet
    from espnet_prune.measure.recognition import Recogniser
    from espnet_prune.models import read_model_config
    from espnet_prune.runtime import Recognizer, Stream
    from espnet_prune.select.layers.dev_data import ids_to_text
    from espnet_prune.source import find_model

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = find_model(args.model, Path(folder) / "source")
        config = read_model_config(source.config)
        stock, to_text = Recogniser(*source, {}), ids_to_text(config)
        speech = find_speech(args.data, config, Path(folder), most=10**6)
        names = list(speech.audio)
        picked = [speech.audio[name] for name in evenly(names, args.timed)]
        seconds = sum(map(len, picked)) / 16000
        for text in args.sizes:
            encoder = stock.model.encoder
            sizes = [int(word) for word in text.split(",")]
            encoder.block_size, encoder.hop_size, encoder.look_ahead = sizes
            out = Path(folder) / text
            export_model(stock.model, config, out, stream="true")
            write_tokens(config, out)
            stream = Stream(out)
            whole = Recognizer(out, piece=1e6, overlap=0)
            calls: Dict[str, Call] = {
                "torch": lambda samples: to_text(stock.greedy(samples)),
                "whole": lambda samples: whole(samples).text,
                "stream": streamed(stream),
            }
            with quiet(1), torch.no_grad():
                heard = {
                    name: [call(speech.audio[n]) for n in names]
                    for name, call in calls.items()
                }
                turns = {
                    name: (lambda call=call: [call(one) for one in picked])
                    for name, call in calls.items()
                }
                spent = in_turns(turns, args.turns, cpu=True)
                block = ms_per_block(stream, picked, args.turns)
            words = [speech.texts[n].split() for n in names]
            count = sum(map(len, words))
            rows.append(
                {
                    "block": sizes[0],
                    "hop": sizes[1],
                    "look_ahead": sizes[2],
                    "utterances": len(names),
                    "alike": {
                        name: sum(map(str.__eq__, heard[name], heard["whole"]))
                        for name in ("torch", "stream")
                    },
                    "wer": {
                        name: 100
                        * sum(
                            Levenshtein.distance(text.split(), right)
                            for text, right in zip(texts, words)
                        )
                        / count
                        for name, texts in heard.items()
                    },
                    "delay_ms": delays(stream),
                    **block,
                    "rtf": {
                        name: min(ms for ms, _ in found) / 1000 / seconds
                        for name, found in spent.items()
                    },
                    "mb": {
                        name: (out / f"{name}.onnx").stat().st_size / 1e6
                        for name in ("model", "step")
                    },
                }
            )
            print(json.dumps(rows[-1]))
    different = [r for r in rows if min(r["alike"].values()) < r["utterances"]]
    print(json.dumps({"rows": rows}))
    if different:
        sys.exit("a stream's text is not that of the whole utterance, or of torch")


if __name__ == "__main__":
    main()

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What int8 loses, on speech that calibrated nothing.

    python test/benchmarks/bench_int8.py --deployed OUT --model DIR --data DATA

hears the utterances of a data directory with transcripts by model.onnx and by
model.int8.onnx of what `deploy` has written of a model, greedily by CTC. Ends in one
line of JSON. The exit code is 1, with a sentence, where the error rate is more than 0.5
points higher, or fewer than 99 % of the frames have the same likeliest token.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
LOSS, ALIKE = 0.5, 0.99


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployed", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--most", type=int, default=1000, help="utterances")
    args = parser.parse_args()
    from espnet_prune.deploy.int8.choice.decide import loss_of
    from espnet_prune.deploy.int8.choice.judge import Judge
    from espnet_prune.deploy.int8.choice.speech import find_speech
    from espnet_prune.models import read_model_config
    from espnet_prune.source import find_model

    with tempfile.TemporaryDirectory() as folder:
        config = read_model_config(
            find_model(args.model, Path(folder) / "model").config
        )
        speech = find_speech(args.data, config, Path(folder), most=args.most)
    judge, small = Judge(args.deployed, speech), args.deployed / "model.int8.onnx"
    score = judge.compare(judge.hear({}, "fp32"), judge.hear({"model": small}, "int8"))
    size = small.stat().st_size / (args.deployed / "model.onnx").stat().st_size
    rates = f"{score['fp32']:.2f} % in fp32, {score['int8']:.2f} % in int8"
    print(
        f"{score['measure'].upper()} {rates}, difference {loss_of(score)} "
        f"({score['drawn']}); {score['alike']:.2%} of the frames alike; "
        f"{size:.0%} of the size"
    )
    missed = []
    if score["loss"] > LOSS:
        missed.append(f"int8 loses {score['loss']:.2f} points, more than {LOSS}")
    if score["alike"] < ALIKE:
        missed.append(f"only {score['alike']:.2%} of the frames are alike")
    for sentence in missed:
        print(sentence, file=sys.stderr)
    command = {"data": args.data, "model": args.model}
    print(json.dumps({**command, "size": size, **score, "passed": not missed}))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Long audio in pieces: its text against that of the whole, time and memory of an hour.

    python test/benchmarks/bench_long_audio.py --model OUT --data data/test
        --output test/results/long_audio.json [--decoding ctc_greedy] [--hour]

Utterances of a data directory are put one after the other to recordings of a minute.
Word error rates are of each utterance alone, of a minute as a whole, and of a minute in
pieces, which are compared with the whole, too. Ends with one line of JSON.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
# seconds of a piece, and of what two have in common; the first are the defaults
SETTINGS = ((30, 4), (20, 4), (15, 4), (10, 3), (30, 2), (20, 2), (20, 1))
NAIVE = "cut in the middle of the overlap"


def minutes(data, seconds, least):
    """Yield (samples, texts) of recordings of about so many seconds."""
    import soundfile

    from espnet_prune.data.tables import read_table

    texts, scp = read_table(data / "text"), read_table(data / "wav.scp")
    keys, waves, total, made = list(scp), [], 0, 0
    group = []
    while made < least or (made == 0):
        for key in keys:
            wave, rate = soundfile.read(scp[key], dtype="float32")
            waves.append(wave)
            group.append((key, texts[key]))
            total += len(wave)
            if total >= seconds * rate:
                yield np.concatenate(waves), group, waves
                made, waves, group, total = made + 1, [], [], 0
                if made >= least:
                    return


def rate(references, texts):
    """Return the word error rate in percent."""
    import jiwer

    return round(100 * jiwer.wer(references, texts), 3)


HOUR = """
import json, resource, sys, time
from espnet_prune.runtime import Recognizer
recognizer = Recognizer(sys.argv[1], decoding=sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.process_time()
found = recognizer.file(sys.argv[3])
print(json.dumps({
    "seconds": found.seconds,
    "rtf_cpu": round((time.process_time() - begin) / found.seconds, 5),
    "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    "loaded_mb": round(before / 1024, 1),
    "words": len(found.text.split()),
}))
"""


def long_file(args, rows, seconds):
    """Recognise a file of so many seconds in a process of its own."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/long.flac"
        left = round(seconds * 16000)
        with soundfile.SoundFile(path, "w", 16000, 1) as stream:
            for wave, _, _ in itertools.cycle(rows):
                stream.write(wave[:left])
                left -= min(left, len(wave))
                if not left:
                    break
        words = [sys.executable, "-c", HOUR, args.model, args.decoding, path]
        return json.loads(subprocess.check_output(words))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--decoding", default="ctc_greedy")
    parser.add_argument("--minutes", type=int, default=8)
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    from espnet_prune.runtime import Recognizer, long

    rows = list(minutes(args.data, 60, args.minutes))
    said = [" ".join(text for _, text in group) for _, group, _ in rows]

    def heard(**more):
        recognizer = Recognizer(args.model, decoding=args.decoding, **more)
        return [recognizer(wave).text for wave, _, _ in rows]

    alone = Recognizer(args.model, decoding=args.decoding)
    parts = [" ".join(alone(wave).text for wave in waves) for _, _, waves in rows]
    whole = heard(piece=1000)
    found = {
        "model": args.model,
        "decoding": args.decoding,
        "recordings": len(rows),
        "words": sum(len(text.split()) for text in said),
        "utterances": {"wer": rate(said, parts)},
        "whole": {"wer": rate(said, whole)},
        "pieces": {},
    }
    for piece, overlap in SETTINGS:
        texts = heard(piece=piece, overlap=overlap)
        found["pieces"][f"{piece} s, {overlap} s in common"] = {
            "wer": rate(said, texts),
            "against_whole": rate(whole, texts),
        }
    agreement, long._agreement = long._agreement, lambda *_: None
    for piece, overlap in SETTINGS:
        texts = heard(piece=piece, overlap=overlap)
        found["pieces"][f"{piece} s, {overlap} s in common, {NAIVE}"] = {
            "wer": rate(said, texts),
            "against_whole": rate(whole, texts),
        }
    long._agreement = agreement
    if args.hour:
        for name, seconds in (("minute", 60), ("hour", 3600)):
            found[name] = long_file(args, rows, seconds)
    Path(args.output).write_text(json.dumps(found, indent=2) + "\n")
    print(
        json.dumps({"output": args.output, **found["whole"], **found.get("hour", {})})
    )


if __name__ == "__main__":
    main()

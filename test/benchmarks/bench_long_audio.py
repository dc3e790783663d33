# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Long audio in pieces: its text against that of the whole, time and memory of an hour.

    python test/benchmarks/bench_long_audio.py --model OUT --data data/test
        --output test/results/long_audio.json [--decoding ctc_greedy] [--hour]

Utterances of a data directory are put one after the other to recordings of a minute.
Word error rates are of a minute as a whole, of each utterance alone, and of a minute in
pieces: by what they agree on, without that, and cut between utterances, of which a
recognizer knows nothing. Ends with one line of JSON.
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
SETTINGS = ((30, 4), (20, 4), (10, 3), (5, 2))


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


def runs(waves, seconds):
    """Yield lists of waveforms that follow each other and are no longer together."""
    run, total = [], 0
    for wave in waves:
        if run and total + len(wave) > seconds * 16000:
            yield run
            run, total = [], 0
        run.append(wave)
        total += len(wave)
    yield run


def rate(references, texts):
    """Return the word error rate in percent."""
    import jiwer

    return round(100 * jiwer.wer(references, texts), 3)


HOUR = """
import json, re, sys, time
from espnet_prune.runtime import Recognizer

def megabytes(name):  # getrusage would tell what the calling process had
    text = open("/proc/self/status").read()
    return round(int(re.search(name + r":\\s+(\\d+)", text)[1]) / 1024, 1)

recognizer = Recognizer(sys.argv[1], decoding=sys.argv[2])
before, begin = megabytes("VmRSS"), time.process_time()
found = recognizer.file(sys.argv[3])
print(json.dumps({
    "seconds": found.seconds,
    "rtf_cpu": round((time.process_time() - begin) / found.seconds, 5),
    "loaded_mb": before,
    "peak_mb": megabytes("VmHWM"),
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

    def grouped(seconds):
        """Decode runs of whole utterances, as many as the seconds hold."""
        return [
            " ".join(alone(np.concatenate(run)).text for run in runs(waves, seconds))
            for _, _, waves in rows
        ]

    alone = Recognizer(args.model, decoding=args.decoding, piece=1000)
    whole = heard(piece=1000)
    found = {
        "model": args.model,
        "decoding": args.decoding,
        "recordings": len(rows),
        "words": sum(len(text.split()) for text in said),
        "whole": {"wer": rate(said, whole)},
        "utterances": {"wer": rate(said, grouped(0))},
        "pieces": [],
    }
    agreement = long._agreement
    for piece, overlap in SETTINGS:
        row = {"seconds": piece, "overlap": overlap}
        texts = heard(piece=piece, overlap=overlap)
        row["wer"] = rate(said, texts)
        row["against_whole"] = rate(whole, texts)
        long._agreement = lambda *_: None  # one follows the other in the middle
        row["wer_without_agreement"] = rate(said, heard(piece=piece, overlap=overlap))
        long._agreement = agreement
        row["wer_cut_between_utterances"] = rate(said, grouped(piece))
        found["pieces"].append(row)
        print(row, flush=True)
    if args.hour:
        for name, seconds in (("minute", 60), ("hour", 3600)):
            found[name] = long_file(args, rows, seconds)
    Path(args.output).write_text(json.dumps(found, indent=2) + "\n")
    print(
        json.dumps({"output": args.output, **found["whole"], **found.get("hour", {})})
    )


if __name__ == "__main__":
    main()

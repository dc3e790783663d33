# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Errors of streaming models, dense and cut, and whether ESPnet hears them as a stream.

    python test/benchmarks/bench_streaming_cut.py --data DATA DENSE CUT ...

takes directories of models, as trained or as `quick` writes them. Every utterance of a
data directory is heard by the best path of CTC, whole and as a stream whose features
come in by odd numbers, and by espnet2.bin.asr_inference_streaming, with all its samples
at once and in pieces of 0.64 s. Call it where the files of the configs are found. Ends
in one line of JSON. The exit code is 1, with a sentence, where a text differs.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
PIECE = 10240  # samples


def in_pieces(heard: Any, speech: np.ndarray, piece: int) -> str:
    """Return what ESPnet's streaming recogniser makes of pieces of an utterance."""
    found: List[Any] = []
    for begin in range(0, len(speech), piece):
        last = begin + piece >= len(speech)
        found = heard(speech[begin : begin + piece], is_final=last)
    heard.reset()
    return found[0][0] or ""


@torch.no_grad()
def measure(folder: Path, data: Path) -> Dict[str, Any]:
    """Return errors and differences of a model."""
    from espnet2.bin.asr_inference_streaming import Speech2TextStreaming

    from espnet_prune import cost
    from espnet_prune.families.contextual_block import streamed
    from espnet_prune.models import load_model
    from espnet_prune.select.layers.dev_data import load_batches
    from espnet_prune.source import find_model

    source = find_model(str(folder), folder)
    model, config = load_model(source.config, source.model_file)
    entries = [(str(data / "wav.scp"), "speech", "sound")]
    entries += [(str(data / "text"), "text", "text")]
    batches = load_batches(config, entries, max_utts=10**6, batch_seconds=0)
    heard = Speech2TextStreaming(
        str(source.config),
        str(source.model_file),
        ctc_weight=1.0 if model.decoder is None else 0.5,
        beam_size=5,
    )
    words = sum(batch.num_tokens for batch in batches)
    errors = dict.fromkeys(("whole", "stream", "espnet_whole", "espnet_stream"), 0)
    differ = {"greedy": 0, "espnet": 0}
    largest = 0.0
    for batch in batches:
        feats, lengths = model._extract_feats(batch.speech, batch.lengths)
        if model.normalize is not None:
            feats, lengths = model.normalize(feats, lengths)
        whole, olens, _ = model.encoder(feats, lengths)
        stream = streamed(model.encoder, feats)[None]
        largest = max(largest, float((stream - whole).abs().max()))
        speech = batch.speech[0].numpy()
        texts = {
            "whole": batch.texts(model.ctc, whole, olens)[0],
            "stream": batch.texts(model.ctc, stream, olens)[0],
            "espnet_whole": in_pieces(heard, speech, len(speech)),
            "espnet_stream": in_pieces(heard, speech, PIECE),
        }
        for name, text in texts.items():
            errors[name] += batch.distance([text])
        differ["greedy"] += texts["whole"] != texts["stream"]
        differ["espnet"] += texts["espnet_whole"] != texts["espnet_stream"]
    found = cost(model.encoder)
    return {
        "encoder_params": found.params,
        "gmacs_1000_frames": found.macs / 1e9,
        "utterances": len(batches),
        "wer": {name: round(100 * n / words, 2) for name, n in errors.items()},
        "texts_that_differ": differ,
        "largest_difference": largest,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--data", required=True, type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    import espnet_prune

    espnet_prune.register()
    found = {str(folder): measure(folder, args.data) for folder in args.models}
    print(json.dumps(found))
    for folder, row in found.items():
        if any(row["texts_that_differ"].values()):
            sys.exit(f"{folder}: a stream is heard as something else than the whole")


if __name__ == "__main__":
    main()

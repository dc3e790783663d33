# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Searches of the runtime: the texts of ESPnet's searches, in how much of the time.

    python test/benchmarks/bench_searches.py [--output test/results/searches.json]
        [--model DIR --wav_scp FILE]

Times are of one thread, CPU time, in turns, the fastest of each. The decoder is that of
`bench_decoding.py`, with random weights, and so are its rows stock and kept (ESPnet's
decoding, and ours in torch); the encoder is timed in torch and in onnxruntime. With
--model (an experiment directory), the utterances of FILE are recognised from their
samples by all three, one after the other; call it where the files of the model's config
are found. The last line is JSON: {seconds, ratios, recognised, goals, reached}.
"""

import argparse
import functools
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
GOALS = {"times_faster_than_kept": 1.5, "other_texts": 0}
# beam and weight of CTC
SEARCHES = {
    "beam 10, CTC .3": (10, 0.3),
    "beam 2, CTC alone": (2, 1.0),
    "attention, greedy": (1, 0.0),
}


def sessions_of(files: Dict[str, Path]) -> Dict[str, Any]:
    """Open ONNX files as the runtime does."""
    from espnet_prune.runtime.session import open_session

    return {name: open_session(path, threads=1) for name, path in files.items()}


def times(runs: int, folder: Path) -> Dict[str, Any]:
    """Time the encoder and the searches at the size of egs2/librispeech_100."""
    import copy

    from bench_decoding import (
        BEAM,
        CUTS,
        FRAMES,
        TOKENS,
        VOCABULARY,
        WEIGHTS,
        WIDTH,
        decoder_of,
        fastest,
        search,
    )
    from espnet2.asr.ctc import CTC
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    from espnet_prune.decoders.cached import cache_decoders
    from espnet_prune.deploy.onnx.decoder import export_decoder
    from espnet_prune.deploy.onnx.export import export_encoder
    from espnet_prune.runtime.attention import Attention

    stock = decoder_of(*CUTS["whole"])
    kept = copy.deepcopy(stock)
    cache_decoders(kept)
    torch.manual_seed(0)
    ctc, memory = CTC(VOCABULARY, WIDTH).eval(), torch.randn(FRAMES, WIDTH)
    conf = dict(attention_heads=4, linear_units=1024, num_blocks=12)
    encoder = ConformerEncoder(
        80, WIDTH, macaron_style=True, rel_pos_type="latest", **conf
    ).eval()
    with torch.no_grad():
        ctc.ctc_lo.weight.mul_(4)
        log_probs = ctc.log_softmax(memory[None])[0].numpy()
    files = export_decoder(SimpleNamespace(decoder=stock), folder)
    export_encoder(encoder, folder / "model.onnx", ctc, hidden=True)
    opened = sessions_of({**files, "model": folder / "model.onnx"})
    ends = dict(sos=VOCABULARY - 1, eos=VOCABULARY - 1, blank=0)
    attention = Attention(opened, ends)
    speech, lengths = torch.randn(1, 1000, 80), torch.tensor([1000])
    given = {"feats": speech.numpy(), "lengths": lengths.numpy()}
    calls: Dict[str, Any] = {
        "encoder, torch": lambda: encoder(speech, lengths),
        "encoder, onnx": lambda: opened["model"].run(None, given),
    }
    others = 0
    for way, weight in WEIGHTS.items():
        calls[f"{way}, stock"] = functools.partial(search, stock, ctc, memory, weight)
        calls[f"{way}, kept"] = functools.partial(search, kept, ctc, memory, weight)
        options = (memory.numpy(), log_probs, BEAM, weight, 0.0, -TOKENS)
        calls[f"{way}, onnx"] = functools.partial(attention.beam, *options)
        left = (VOCABULARY - 1, 0)
        theirs = [[t for t in y if t not in left] for y in calls[f"{way}, kept"]()]
        others += theirs != [one.tokens for one in calls[f"{way}, onnx"]()]
    with torch.no_grad():
        seconds = fastest(calls, runs)
    ratios = {}
    for way in WEIGHTS:
        for how in ("stock", "kept"):
            theirs, ours = seconds[f"{way}, {how}"], seconds[f"{way}, onnx"]
            ratios[f"{way}, {how} to onnx, search"] = theirs / ours
            theirs += seconds["encoder, torch"]
            ours += seconds["encoder, onnx"]
            ratios[f"{way}, {how} to onnx, with encoder"] = theirs / ours
    rounded = {name: round(value, 2) for name, value in ratios.items()}
    seconds = {name: round(value, 3) for name, value in seconds.items()}
    return {"seconds": seconds, "ratios": rounded, "other_hypotheses": others}


def recognised(args: argparse.Namespace, folder: Path) -> List[Dict[str, Any]]:
    """Recognise utterances from their samples in three ways."""
    import soundfile

    from espnet_prune.deploy.caching import caching
    from espnet_prune.deploy.onnx.describe import write_tokens
    from espnet_prune.deploy.onnx.package import export_model
    from espnet_prune.models import load_model
    from espnet_prune.runtime.recognizer import Recognizer
    from espnet_prune.strict import strict_loading
    from espnet_prune.tasks import ASR

    lines = Path(args.wav_scp).read_text().splitlines()
    waves = [soundfile.read(line.split(maxsplit=1)[1])[0] for line in lines]
    waves = [wave.astype(np.float32) for wave in waves]
    files = f"{args.model}/config.yaml", f"{args.model}/{args.checkpoint}"
    model, config = load_model(*files)
    export_model(model, config, folder, {})
    write_tokens(config, folder)
    rows = []
    for name, (beam, weight) in SEARCHES.items():
        conf = {"beam_size": beam, "ctc_weight": weight}
        with strict_loading():
            kind = caching(ASR)
            stock = kind(*files, **conf, cached_decoding=False)
            kept = kind(*files, **conf, cached_decoding=True)
        ours = Recognizer(folder, **conf)
        ways = {
            "stock": lambda wave: heard(stock(wave)),
            "kept": lambda wave: heard(kept(wave)),
            "onnx": lambda wave: ours(wave).tokens,
        }
        taken, texts = dict.fromkeys(ways, 0.0), []
        for wave in waves:
            texts.append([])
            for way, call in ways.items():
                start = time.process_time()
                texts[-1].append(call(wave))
                taken[way] += time.process_time() - start
        others = sum(a != c for a, _, c in texts)
        seconds = {way: round(value, 2) for way, value in taken.items()}
        rows.append({"search": name, "utterances": len(waves), "other_texts": others})
        rows[-1].update(cpu_seconds=seconds, tokens=sum(len(a) for a, *_ in texts))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def heard(found: Any) -> List[str]:
    """Return the tokens of the best hypothesis of Speech2Text."""
    best = found[0] if isinstance(found, tuple) else found
    return best[0][1] if best else []


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="0: no times")
    parser.add_argument("--model", help="an experiment directory")
    parser.add_argument("--checkpoint", default="valid.acc.ave.pth")
    parser.add_argument("--wav_scp", help="utterances")
    parser.add_argument(
        "--output", help="a JSON file; what it has and is not made, stays"
    )
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    from espnet_prune.report.decoding import releases
    from espnet_prune.utils import read_json, write_json

    old = Path(args.output or "")
    result: Dict[str, Any] = read_json(old) if old.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        if args.runs:
            result.update(times(args.runs, Path(folder)))
        if args.model:
            name = Path(args.model).name
            rows = recognised(args, Path(folder))
            result["recognised"] = {**result.get("recognised", {}), name: rows}
    faster = [v for k, v in result.get("ratios", {}).items() if "kept to onnx, s" in k]
    rows = sum(result.get("recognised", {}).values(), [])
    others = sum(row["other_texts"] for row in rows)
    result["goals"] = GOALS
    result["reached"] = {
        "times_faster_than_kept": min(faster, default=0.0)
        >= GOALS["times_faster_than_kept"],
        "other_texts": others + result.get("other_hypotheses", 0) == 0,
    }
    result.update(releases())
    if args.output:
        write_json(result, args.output)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

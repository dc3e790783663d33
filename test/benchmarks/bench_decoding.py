# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Beam search with kept keys and values: the same texts, in how much of the time.

    python test/benchmarks/bench_decoding.py [--output test/results/decoding.json]
        [--model DIR --wav_scp FILE [--inference_config FILE]]

Times are those of one thread, of the model of egs2/librispeech_100 with random weights
(encoder of 12 blocks, decoder of 6, d256, 5,000 tokens) at 10 s and 34 tokens: CPU
time, in turns, the fastest of each. A decoder is timed whole, with half of its
feed-forward units, heads or blocks, and with half of all. With --model (an experiment
directory), the utterances of FILE are recognised by ESPnet's decoding and by ours, one
after the other, at beam 10, and all hypotheses are compared; call it where the files of
the model's config are found. The last line is JSON: {seconds, ratios, identity, goals,
reached}.
"""

import argparse
import copy
import functools
import itertools
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
GOALS = {"times_faster": 2.0, "other_texts": 0}
BEAM, FRAMES, TOKENS, VOCABULARY, WIDTH = 10, 249, 34, 5000, 256
WEIGHTS = {"joint": 0.3, "attention": 0.0}  # of CTC
DECODER = dict(attention_heads=4, linear_units=2048, num_blocks=6)
# what a cut leaves of a decoder: heads, units, blocks
CUTS = {
    "whole": (4, 2048, 6),
    "half of the units": (4, 1024, 6),
    "half of the heads": (2, 2048, 6),
    "half of the blocks": (4, 2048, 3),
    "half of all": (2, 1024, 3),
}


def decoder_of(heads: int, units: int, blocks: int) -> Any:
    """Return a decoder with random weights, cut to a size."""
    from espnet_prune.decoders.pruned_transformer import PrunedTransformerDecoder

    torch.manual_seed(0)
    structure = dict(
        self_attention_heads=[heads] * blocks,
        source_attention_heads=[heads] * blocks,
        linear_units=[units] * blocks,
        kept_blocks=list(range(blocks)),
    )
    decoder = PrunedTransformerDecoder(VOCABULARY, WIDTH, structure, **DECODER)
    with torch.no_grad():  # so that hypotheses differ
        decoder.output_layer.weight.mul_(4)
    return decoder.eval()


def search(decoder: Any, ctc: Any, memory: torch.Tensor, weight: float) -> Any:
    """Return the hypotheses of a beam search."""
    from espnet2.bin import asr_inference as espnet

    scorers = {"decoder": decoder}
    if weight:
        scorers["ctc"] = espnet.CTCPrefixScorer(ctc=ctc, eos=VOCABULARY - 1)
    beam = espnet.BatchBeamSearch(
        scorers=scorers,
        weights={"decoder": 1 - weight, "ctc": weight},
        beam_size=BEAM,
        vocab_size=VOCABULARY,
        sos=VOCABULARY - 1,
        eos=VOCABULARY - 1,
        pre_beam_score_key="full" if weight else None,
    )
    return [h.yseq.tolist() for h in beam(memory, maxlenratio=-TOKENS)]


def fastest(calls: Dict[str, Callable[[], Any]], runs: int) -> Dict[str, float]:
    """Return the CPU seconds of the fastest call of each, called in turns."""
    best: Dict[str, float] = {}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.process_time()
            call()
            taken = time.process_time() - start
            best[name] = min(taken, best.get(name, taken))
    return best


def times(runs: int) -> Dict[str, float]:
    """Return the seconds of the encoder, and of searches with all decoders."""
    from espnet2.asr.ctc import CTC
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    from espnet_prune.decoders.cached import cache_decoders

    torch.manual_seed(0)
    conf = dict(attention_heads=4, linear_units=1024, num_blocks=12)
    encoder = ConformerEncoder(
        80, WIDTH, macaron_style=True, rel_pos_type="latest", **conf
    ).eval()
    ctc, memory = CTC(VOCABULARY, WIDTH).eval(), torch.randn(FRAMES, WIDTH)
    with torch.no_grad():
        ctc.ctc_lo.weight.mul_(4)
    speech, lengths = torch.randn(1, 1000, 80), torch.tensor([1000])
    calls: Dict[str, Any] = {"encoder": lambda: encoder(speech, lengths)}
    for name, size in CUTS.items():
        stock = decoder_of(*size)
        ours = copy.deepcopy(stock)
        cache_decoders(ours)
        for how, decoder in (("stock", stock), ("kept", ours)):
            for way, weight in WEIGHTS.items():
                call = functools.partial(search, decoder, ctc, memory, weight)
                calls[f"{way}, {name}, {how}"] = call
    with torch.no_grad():
        search(ours, ctc, memory, 0.0)  # imports
        return {name: round(s, 3) for name, s in fastest(calls, runs).items()}


def ratios_of(seconds: Dict[str, float]) -> Dict[str, float]:
    """Return how many times faster ours is, and the time that cuts leave."""
    ratios, own = {}, seconds["encoder"]
    for way in WEIGHTS:
        stock, kept = (seconds[f"{way}, whole, {how}"] for how in ("stock", "kept"))
        ratios[f"{way}, times faster, search"] = stock / kept
        ratios[f"{way}, times faster, with encoder"] = (own + stock) / (own + kept)
    for way, name in itertools.product(WEIGHTS, list(CUTS)[1:]):
        for how in ("stock", "kept"):
            part, whole = (seconds[f"{way}, {n}, {how}"] for n in (name, "whole"))
            ratios[f"{way}, {name} to whole, {how}"] = part / whole
    return {name: round(value, 3) for name, value in ratios.items()}


def halve(decoder: Any) -> None:
    """Cut a decoder to about half, in place."""
    from espnet_prune import Structure, unit_graph
    from espnet_prune.units import narrow

    graph, structure = unit_graph(decoder), Structure.random(decoder, 0, 0.5)
    narrow(decoder, graph, graph.first(structure), structure)


def recognised(
    args: argparse.Namespace, waves: List[Any], conf: Dict[str, Any], whole: bool
) -> List[Any]:
    """Recognise by ESPnet's decoding and by ours; return tokens, scores, seconds."""
    from espnet_prune.decoders.cached import cache_decoders
    from espnet_prune.deploy.caching import caching
    from espnet_prune.strict import strict_loading
    from espnet_prune.tasks import ASR

    files, found = (f"{args.model}/config.yaml", f"{args.model}/{args.checkpoint}"), []
    for ours in (False, True):
        with strict_loading():
            kind = caching(ASR)
            model = kind(*files, **conf, cached_decoding=ours and whole)
        if not whole:
            halve(model.asr_model.decoder)
            if ours:
                cache_decoders(model.asr_model)
        start = time.process_time()
        heard = [model(wave) for wave in waves]
        taken = time.process_time() - start
        # with what intermediate CTC has heard beside it
        heard = [own[0] if isinstance(own, tuple) else own for own in heard]
        heard = [[hypothesis for *_, hypothesis in own] for own in heard]
        tokens = [[list(map(int, h.yseq)) for h in own] for own in heard]
        found.append((tokens, [[float(h.score) for h in own] for own in heard], taken))
    return found


def identity(args: argparse.Namespace) -> List[Dict[str, Any]]:
    """Compare all hypotheses of ESPnet's decoding and of ours."""
    import soundfile

    from espnet_prune.utils import read_mapping

    lines = Path(args.wav_scp).read_text().splitlines()
    waves = [soundfile.read(line.split(maxsplit=1)[1])[0] for line in lines]
    given = read_mapping(args.inference_config) if args.inference_config else {}
    kinds = [(way, {"ctc_weight": w}, True) for way, w in WEIGHTS.items()]
    kinds += [("joint, half of the decoder", {"ctc_weight": WEIGHTS["joint"]}, False)]
    kinds += [(args.inference_config, {}, True)] if given else []
    rows = []
    for name, more, whole in kinds:
        conf = {**given, "beam_size": BEAM, "nbest": BEAM, **more}
        stock, ours = recognised(args, waves, conf, whole)
        pairs = list(zip(stock[0], ours[0]))
        alike = [a == b for a, b in pairs]
        scores = zip(sum(stock[1], []), sum(ours[1], []))
        rows.append(
            {
                "decoding": name,
                "utterances": len(pairs),
                "tokens": sum(len(a[0]) for a, _ in pairs),
                "other_texts": sum(a[0] != b[0] for a, b in pairs),
                "other_hypotheses": len(alike) - sum(alike),
                "largest_difference_of_scores": max(abs(a - b) for a, b in scores),
                "cpu_seconds": [round(stock[2], 1), round(ours[2], 1)],
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="0: no times")
    parser.add_argument("--model", help="an experiment directory")
    parser.add_argument("--checkpoint", default="valid.acc.ave.pth")
    parser.add_argument("--wav_scp", help="utterances")
    parser.add_argument("--inference_config", help="of the decoding")
    parser.add_argument(
        "--output", help="a JSON file; what it has and is not made, stays"
    )
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    from espnet_prune.report.decoding import releases
    from espnet_prune.utils import read_json, write_json

    made: Dict[str, Any] = {"identity": identity(args)} if args.model else {}
    old = Path(args.output or "")
    result: Dict[str, Any] = read_json(old) if old.is_file() else {}
    result.update(made)
    if args.runs:
        seconds = times(args.runs)
        before = result.get("seconds", seconds)
        seconds = {n: min(s, before.get(n, s)) for n, s in seconds.items()}
        result.update(seconds=seconds, ratios=ratios_of(seconds))
    faster = [v for k, v in result.get("ratios", {}).items() if "times faster" in k]
    others = [row["other_texts"] for row in result.get("identity", ())]
    result["goals"] = GOALS
    result["reached"] = {
        "times_faster": bool(faster) and min(faster) >= GOALS["times_faster"],
        "other_texts": bool(others) and sum(others) <= GOALS["other_texts"],
    }
    result.update(releases())
    if args.output:
        write_json(result, args.output)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How fast deployed models are at real size: ONNX fp32 and int8 against PyTorch.

    python test/benchmarks/bench_deploy.py [--seconds 10] [--turns 15]

The Conformer of egs2/librispeech_100 (12 blocks, d256, 1,024 units, CTC of 5,000
tokens), with random weights, and cut by magnitude to 50, 25 and 15 % of its MACs, is
exported and written in int8: MatMuls alone (mm), and with Conv2d (conv). Widths are
multiples of 8. All run in turns on one thread; times are those of the processor. Ends
in one line of JSON. The exit code is 1, with a sentence each, where a bar is missed;
bars of time are those of 10 s.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
VOCAB = 5000
KEPT = {"dense": 1.0, "half": 0.5, "quarter": 0.25, "15%": 0.15}
# (what, of what): at most
BARS = {
    ("half fp32", "dense fp32"): 0.55,
    ("half mm", "dense eager"): 0.33,
    ("half conv", "dense eager"): 0.30,
    ("quarter int8", "dense eager"): 0.18,
    ("15% int8", "dense eager"): 0.12,
}
RATE, SIZE, EXPORT = 0.70, 1 / 3, 30.0  # of sgemm; of the fp32 file; seconds


def dense() -> Any:
    """Return the Conformer with random weights and norms that are not neutral."""
    import torch
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    torch.manual_seed(0)
    size = dict(output_size=256, attention_heads=4, linear_units=1024, num_blocks=12)
    own = dict(macaron_style=True, rel_pos_type="latest", cnn_module_kernel=31)
    encoder = ConformerEncoder(80, **size, **own)
    for module in encoder.modules():
        if isinstance(module, (torch.nn.LayerNorm, torch.nn.BatchNorm1d)):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return encoder.eval()


def smaller(encoder: Any, kept: float) -> Any:
    """Return the encoder cut by magnitude to a share of its MACs."""
    import espnet_prune
    from espnet_prune.select.budget import Budget
    from espnet_prune.select.scores import by_quantiles
    from espnet_prune.units import unit_norms

    if kept == 1.0:
        return encoder
    graph = espnet_prune.unit_graph(encoder)
    norms, budget = unit_norms(encoder, graph), Budget.of("macs", 1.0 - kept)
    masks = by_quantiles(norms, graph, budget, round_to=8)
    structure = graph.structure(graph.close(masks))
    return espnet_prune.cut(encoder, structure, masks).eval()


def written(encoder: Any, name: str, folder: Path, found: Dict[str, Any]) -> None:
    """Write an encoder in fp32 and int8; add what it took, and its sizes."""
    import torch

    from espnet_prune.deploy.int8.cpu import cpu
    from espnet_prune.deploy.int8.parts import CONVS, parts_of
    from espnet_prune.deploy.int8.quantize import load, write_int8
    from espnet_prune.deploy.onnx.export import export_encoder

    torch.manual_seed(1)
    ctc = SimpleNamespace(ctc_lo=torch.nn.Linear(256, VOCAB))
    path, start = folder / f"{name} fp32.onnx", time.process_time()
    export_encoder(encoder, path, ctc=ctc)
    found["export"][name] = round(time.process_time() - start, 1)
    model, reduce = load(path), cpu()["reduce_range"]
    parts = parts_of(model)
    inputs = [feed(300, seed) for seed in range(3)]
    every = list(parts.values())
    products = [part for key, part in parts.items() if key != CONVS]
    write_int8(model, folder / f"{name} mm.onnx", products, [], reduce)
    write_int8(model, folder / f"{name} conv.onnx", every, inputs, reduce)
    for kind in ("fp32", "mm", "conv"):
        size = (folder / f"{name} {kind}.onnx").stat().st_size
        found["mb"][f"{name} {kind}"] = round(size / 1e6, 1)


def feed(frames: int, seed: int = 0) -> Dict[str, np.ndarray]:
    """Return random features as a deployed encoder takes them."""
    rng = np.random.default_rng(seed)
    feats = rng.standard_normal((1, frames, 80), np.float32)
    return {"feats": feats, "lengths": np.array([frames])}


def gemm(folder: Path, size: int = 1024) -> Callable[[], Any]:
    """Return a product of two matrices by the same runtime."""
    import onnx
    from onnx import TensorProto, helper

    from espnet_prune.runtime.session import open_session

    rng, kind = np.random.default_rng(0), TensorProto.FLOAT
    a, b = rng.standard_normal((2, size, size), np.float32)
    ends = [helper.make_tensor_value_info(n, kind, [size, size]) for n in "ac"]
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    weights = [onnx.numpy_helper.from_array(b, "b")]
    graph = helper.make_graph([node], "gemm", ends[:1], ends[1:], weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(
        helper.make_model(graph, opset_imports=opset, ir_version=8),
        str(folder / "gemm.onnx"),
    )
    session = open_session(folder / "gemm.onnx")
    return lambda: session.run(None, {"a": a})


def eager(encoder: Any, inputs: Dict[str, np.ndarray]) -> Callable[[], Any]:
    """Return a run of encoder and CTC by PyTorch."""
    import torch

    head = torch.nn.Linear(256, VOCAB)
    given = [torch.from_numpy(value) for value in inputs.values()]

    def run() -> Any:
        with torch.inference_mode():
            return head(encoder(*given)[0]).log_softmax(-1)

    return run


def in_turns(calls: Dict[str, Callable[[], Any]], turns: int) -> Dict[str, float]:
    """Return milliseconds of the processor by name: the fastest of each."""
    best, order = dict.fromkeys(calls, float("inf")), list(calls)
    for turn in range(turns + 2):
        for name in order:
            start = time.process_time()
            calls[name]()
            spent = 1000.0 * (time.process_time() - start)
            if turn > 1:
                best[name] = min(best[name], spent)
        order.reverse()
    return best


def judged(found: Dict[str, Any], rated: bool) -> Dict[str, Any]:
    """Add ratios, and what is missed, to what was measured."""
    ms = found["ms"]
    for name in KEPT:
        ms[f"{name} int8"] = min(ms[f"{name} mm"], ms[f"{name} conv"])
    found["ratios"] = {f"{a} / {b}": round(ms[a] / ms[b], 3) for a, b in BARS}
    pace = 2 * 1024**3 / ms["gemm"]
    found["rates"] = {
        name: round(2 * found["macs"][name] / ms[f"{name} fp32"] / pace, 3)
        for name in KEPT
    }
    found["sizes"] = {
        name: round(found["mb"][f"{name} conv"] / found["mb"][f"{name} fp32"], 3)
        for name in KEPT
    }
    missed = [
        f"{a} takes {ms[a] / ms[b]:.3f} of {b}, more than {bar}"
        for (a, b), bar in BARS.items()
        if rated and ms[a] / ms[b] > bar
    ]
    for name in ("dense", "half", "quarter") if rated else ():
        if found["rates"][name] < RATE:
            missed.append(f"{name} runs at {found['rates'][name]:.0%} of sgemm's rate")
    for name in ("dense", "half"):
        if found["sizes"][name] > SIZE:
            missed.append(f"{name} has {found['sizes'][name]:.0%} of its size in int8")
        if found["export"][name] > EXPORT:
            missed.append(f"the export of {name} took {found['export'][name]} s")
    return {**found, "missed": missed}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--turns", type=int, default=15)
    args = parser.parse_args()
    import onnxruntime
    import torch

    import espnet_prune
    from espnet_prune.deploy.int8.cpu import cpu
    from espnet_prune.runtime.session import open_session

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    frames, whole = round(100 * args.seconds), dense()
    versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}
    found: Dict[str, Any] = {"cpu": cpu(), "versions": versions, "frames": frames}
    found.update(export={}, mb={}, macs={})
    inputs = feed(frames)
    calls = {"dense eager": eager(whole, inputs)}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, kept in KEPT.items():
            encoder = smaller(whole, kept)
            head = 256 * VOCAB * (frames // 4 - 1)
            cost = espnet_prune.cost(encoder, frames=frames)
            found["macs"][name] = cost.macs + head
            written(encoder, name, folder, found)
            for kind in ("fp32", "mm", "conv"):
                session = open_session(folder / f"{name} {kind}.onnx")
                calls[f"{name} {kind}"] = lambda s=session: s.run(None, inputs)
            print(f"{name}: written, {found['macs'][name] / 1e9:.2f} GMACs", flush=True)
        calls["gemm"] = gemm(folder)
        ms = in_turns(calls, args.turns)
    found["ms"] = {name: round(value, 2) for name, value in ms.items()}
    found = judged(found, args.seconds == 10)
    for name, value in found["ms"].items():
        print(f"{name:<14} {value:8.1f} ms  {value / found['ms']['dense eager']:.3f}")
    for key in ("ratios", "rates", "sizes"):
        print(key, found[key])
    for sentence in found["missed"]:
        print(sentence, file=sys.stderr)
    print(json.dumps(found))
    sys.exit(bool(found["missed"]))


if __name__ == "__main__":
    main()

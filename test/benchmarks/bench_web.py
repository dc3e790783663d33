# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How fast models are in a browser, and whether it hears what our runtime hears.

    python test/benchmarks/bench_web.py [--turns 5] [--written FOLDER]
        [--deployed OUT ... --data DATA]

The Conformer of egs2/librispeech_100 (12 blocks, d256, 1,024 units, CTC of 5,000
tokens) with its front end, with random weights, and cut by magnitude to half of its
MACs, in fp32 and int8: the page of `deploy --web` hears 10 s by each in headless
Chromium, in turns. Times are those of the processor in the thread that recognises, and
those of the clock that the page shows. With --deployed, every utterance of a data
directory is heard in the page by what deploy has written, in all precisions, and by our
runtime. With --written the two models stay in a folder, and are taken from there.

Ends in one line of JSON. The exit code is 1, with a sentence each, where a bar is
missed.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from espnet_prune.deploy.int8.cpu import cpu  # noqa: E402
from espnet_prune.deploy.proof.compare import NotProven  # noqa: E402
from test.benchmarks.bench_deploy import VOCAB, smaller  # noqa: E402

SECONDS, RATE = 10.0, 16000
FACTOR = 0.05  # seconds of half the model in int8 for a second of audio
SIZES = {"dense": 1.0, "half": 0.5}  # of the MACs
HEARD = 3  # times in a turn
CONFIG: Dict[str, Any] = {
    "token_list": ["<blank>", *(f"t{i}" for i in range(VOCAB - 2)), "<sos/eos>"],
    "token_type": "word",
    "input_size": None,
    "frontend": "default",
    "frontend_conf": {"fs": RATE, "n_fft": 512, "hop_length": 160},
    "specaug": None,
    "normalize": "utterance_mvn",
    "normalize_conf": {},
    "preencoder": None,
    "encoder": "conformer",
    "encoder_conf": {
        "output_size": 256,
        "attention_heads": 4,
        "linear_units": 1024,
        "num_blocks": 12,
        "macaron_style": True,
        "rel_pos_type": "latest",
        "cnn_module_kernel": 31,
    },
    "postencoder": None,
    "decoder": None,
    "ctc_conf": {},
    "joint_net_conf": None,
    "init": None,
    "model": "espnet",
    "model_conf": {"ctc_weight": 1.0},
}


def write_deployed(out: Path) -> None:
    """Write the dense model and its half, as deploy does."""
    import torch

    from espnet_prune.deploy.int8.parts import parts_of
    from espnet_prune.deploy.int8.quantize import load, write_int8
    from espnet_prune.deploy.onnx.describe import write_tokens
    from espnet_prune.deploy.onnx.package import export_model
    from espnet_prune.models import build_model

    torch.manual_seed(0)
    model = build_model(CONFIG).eval()
    whole = model.encoder
    for name, kept in SIZES.items():
        folder = out if name == "dense" else out / "size_50"
        model.encoder = smaller(whole, kept)
        about = export_model(model, CONFIG, folder)
        path = folder / "model.int8.onnx"
        graph = load(folder / "model.onnx")
        inputs = [
            {"speech": noise(seed)[None], "lengths": np.array([int(SECONDS * RATE)])}
            for seed in range(1, 4)
        ]
        parts = parts_of(graph).values()
        write_int8(graph, path, parts, inputs, cpu()["reduce_range"])
        about["files"]["model"]["int8"] = path.name
        about["sizes"] = {"50": "size_50"} if name == "dense" else {}
        (folder / "config.json").write_text(json.dumps(about))
    write_tokens(CONFIG, out)


def noise(seed: int) -> np.ndarray:
    """Return audio (S,), for which no model takes more or less time than for speech."""
    size = int(SECONDS * RATE)
    return 0.1 * np.random.default_rng(seed).standard_normal(size, np.float32)


def workers(root: int) -> List[Path]:
    """Return the threads of processes below one that recognise."""
    found, wanted = [], [root]
    while wanted:
        place = Path(f"/proc/{wanted.pop()}/task")
        for thread in place.iterdir() if place.exists() else ():
            wanted += map(int, (thread / "children").read_text().split())
            if (thread / "comm").read_text().startswith("DedicatedWorker"):
                found.append(thread)
    return found


def spent(thread: Path) -> float:
    """Return seconds of the processor that a thread has taken."""
    return int((thread / "schedstat").read_text().split()[0]) / 1e9


def speed(out: Path, turns: int) -> Dict[str, Any]:
    """Return times of 10 s by model and precision: the fastest of some turns."""
    from espnet_prune.deploy.targets.web.browser import Browser
    from espnet_prune.deploy.targets.web.npm import release
    from espnet_prune.deploy.targets.web.write import write_page
    from espnet_prune.runtime.package import read_package
    from espnet_prune.utils import read_json

    found: Dict[str, Any] = {"onnxruntime-web": release(), "turns": turns}
    with tempfile.TemporaryDirectory() as page:
        write_page(read_package(out), Path(page))
        found["mb"] = {
            f"{size} {kind}": round(file["size"] / 1e6, 1)
            for size, row in zip(SIZES, read_json(f"{page}/models.json")["models"])
            for kind, file in row["files"].items()
        }
        browser, audio = Browser(Path(page)), noise(0)
        found["chromium"] = browser.driver.capabilities["browserVersion"]
        [thread] = workers(browser.driver.service.process.pid)
        spent_on: Dict[str, List[float]] = {name: [] for name in found["mb"]}
        shown: Dict[str, List[float]] = {name: [] for name in found["mb"]}
        for _ in range(turns):
            for name in found["mb"]:
                wanted, precision = name.split()
                browser.use([precision if size == wanted else None for size in SIZES])
                for _ in range(HEARD):
                    before = spent(thread)
                    row = browser.hear([audio], RATE)[0]["rows"][0]
                    spent_on[name].append((spent(thread) - before) / SECONDS)
                    shown[name].append(row["ms"] / 1000 / SECONDS)
        browser.close()
    found["cpu"] = {name: round(min(row), 4) for name, row in spent_on.items()}
    found["page"] = {name: round(min(row), 4) for name, row in shown.items()}
    return found


def texts(out: Path, data: str) -> List[Dict[str, Any]]:
    """Return how many texts in the page are ours, by model and precision.

    Raises:
        NotProven: More of them differ than rounding explains.
    """
    import soundfile

    from espnet_prune.data.tables import read_table
    from espnet_prune.deploy.targets.compare import compare
    from espnet_prune.deploy.targets.web.slot import Page
    from espnet_prune.runtime.package import read_package

    files = read_table(f"{data}/wav.scp").items()
    speech = {key: soundfile.read(path, dtype="float32")[0] for key, path in files}
    slot, package = Page(), read_package(out)
    with tempfile.TemporaryDirectory() as page:
        slot.write(package, package.file("model"), Path(page))
        return [
            {"deployed": out.name, **compare(slot, Path(page), out, part, speech)}
            for part in slot.parts(package, "fp32")
        ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--written", type=Path, help="where the models are from before")
    parser.add_argument("--deployed", type=Path, nargs="*", default=[])
    parser.add_argument("--data", help="data directory")
    args = parser.parse_args()
    found: Dict[str, Any] = {"cpu": cpu()}
    with tempfile.TemporaryDirectory() as place:
        folder = args.written or Path(place)
        if not (folder / "config.json").exists():
            write_deployed(folder)
        found["speed"] = speed(folder, args.turns)
    rates = found["speed"]["cpu"]
    for name, value in rates.items():
        page, size = (found["speed"][key][name] for key in ("page", "mb"))
        print(f"{name:<12} {value:.4f} ({page:.4f} in the page), {size} MB", flush=True)
    missed = []
    if rates["half int8"] > FACTOR:
        missed.append(f"half int8 takes {rates['half int8']}, more than {FACTOR}")
    found["texts"] = []
    for out in args.deployed:
        try:
            found["texts"] += texts(out, args.data)
        except NotProven as error:
            missed.append(f"{out.name}: {error}")
    for sentence in missed:
        print(sentence, file=sys.stderr)
    print(json.dumps({**found, "missed": missed}))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

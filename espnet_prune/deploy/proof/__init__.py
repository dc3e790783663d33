# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The proof that deployed files say what the model says in ESPnet.

Everything is measured on what was written. Differences are shares of the largest
log-probability, from ESPnet's model hearing each utterance alone, also where the files
hear it in a padded batch.
"""

import logging
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from espnet_prune.cutting.trials import check as check_cut
from espnet_prune.deploy.int8.cpu import cpu
from espnet_prune.deploy.proof import facts, parts
from espnet_prune.deploy.proof.compare import NotProven
from espnet_prune.deploy.proof.reference import Reference
from espnet_prune.deploy.proof.signals import Signals
from espnet_prune.deploy.proof.streaming import prove_step
from espnet_prune.foreign import told
from espnet_prune.measure.duration import SECONDS
from espnet_prune.runtime.check import RECORD, outputs
from espnet_prune.utils import UserError, atomic_write, read_json, sha256, write_json

STRUCTURES = 2  # random ones at which masked and cut are compared
SMALL_INPUT = 1.0  # seconds of the recorded input
Report = Dict[str, Any]


def prove(
    out: Path,
    model: Any,
    config: Mapping[str, Any],
    source: Optional[Mapping[str, Any]] = None,
    audio: Optional[str] = None,
    targets: Optional[Mapping[str, Any]] = None,
) -> Report:
    """Prove the files of a directory and write its deploy.json.

    Args:
        out: The directory, with config.json and all files that it names.
        model: The model of ESPnet that it was made of.
        config: Content of that model's config.yaml.
        source: Where that model is, as it is to be recorded; see `source_of`.
        audio: Whose texts are compared, too; see `find_audio`. It needs `source`.
        targets: What is known of its files for other runtimes; see `write_targets`.

    Returns:
        Content of deploy.json.

    Raises:
        NotProven: A file does not say what the model says; nothing is written.
    """
    package = read_json(out / "config.json")
    reference, signals = Reference(model), Signals(config, package)
    bar = parts.bar_of(package)
    vocab = len(config["token_list"])
    full = {part: out / names["fp32"] for part, names in package["files"].items()}
    small = {
        part: out / names["int8"]
        for part, names in package["files"].items()
        if "int8" in names
    }
    with told("the proof cannot be made", "look at what it says"):
        found = {"model": parts.prove_encoder(full["model"], reference, signals, bar)}
        if "step" in full:
            given = full["step"], package["stream"], reference, signals, bar
            found["step"] = prove_step(*given)
        hidden = reference.heard(signals.of(signals.size(5), 1))["encoder_out"]
        if "decoder" in full:
            found["decoder"] = parts.prove_decoder(full, reference, hidden, vocab)
        if "prediction" in full:
            found.update(parts.prove_transducer(full, reference, hidden, vocab))
    require(found)
    report: Report = {"passed": True, "bar": bar, "source": source, "fp32": found}
    report["masked_is_cut"] = masked_is_cut(model, source or {})
    report["int8"] = compare_small(full, small, signals, hidden, vocab)
    if audio is not None:
        from espnet_prune.deploy.proof.texts import compare_texts, require_alike

        told_by = compare_texts(out, source or {}, config, package, audio)
        require_alike(told_by)
        report["texts"] = told_by
    if targets:
        report["targets"] = dict(targets)
    row = signals.of(signals.size(SECONDS), 3)
    models = {"fp32": full["model"]}
    if "model" in small:
        models["int8"] = small["model"]
    report["encoder_ms"] = facts.times(reference, models, row)
    record(out, package, signals, hidden, vocab)
    names = facts.files_of(out)
    report["bytes"] = {name: (out / name).stat().st_size for name in names}
    report["versions"], here = facts.versions(), cpu()
    report["cpu"] = {key: here[key] for key in ("name", "flags")}
    report["sha256"] = {name: sha256(out / name) for name in names}
    write_json(report, out / facts.PROOF)
    return report


def require(found: Mapping[str, Report]) -> None:
    """Stop unless all files pass.

    Raises:
        NotProven: The first that does not; its worst case is named.
    """
    for part, result in found.items():
        if result["passed"]:
            continue
        cases = result.get("cases", {})
        failed = [name for name, case in cases.items() if not case["passed"]]
        where = f" on {failed[0]}" if failed else ""
        raise NotProven(
            f"{part}.onnx differs from ESPnet's model by "
            f"{result['relative']:.1e} of the largest output{where} (at most "
            f"{result['bar']:.0e}), and {result['others']} of {result['frames']} "
            "frames have another best token; it is not the file of this model, or is "
            "damaged: deploy it again"
        )


def masked_is_cut(model: Any, source: Mapping[str, Any]) -> Report:
    """Compare masked and cut at random structures of the model; see `verify`.

    Args:
        model: The model of ESPnet.
        source: What is recorded of it.

    Returns:
        {"structures", "relative", "tolerance"}, or {"structures": 0, "why"} for a model
        without units that can be removed; and as "verify" what `cut` has written beside
        a model that is cut.

    Raises:
        NotProven: The two differ.
    """
    more = {}
    for place in ("verify.json", "cut/verify.json"):
        path = Path(source.get("config", "")).parent / place
        if path.is_file():
            more["verify"] = read_json(path)
    if source.get("blocks") is not None:
        return {"structures": 0, "why": "some blocks are left out", **more}
    try:
        reports = [
            check_cut(model, seed, 0.5, 1, model.ctc) for seed in range(STRUCTURES)
        ]
    except UserError as error:
        return {"structures": 0, "why": str(error), **more}
    worst = max(report["relative_diff"] for report in reports)
    if not all(report["equal"] for report in reports):
        raise NotProven(
            f"masked and cut model differ by {worst:.1e} of the largest output; see "
            "espnet-prune verify"
        )
    return {
        "structures": STRUCTURES,
        "relative": worst,
        "tolerance": reports[0]["tolerance"],
        **more,
    }


def compare_small(
    full: Mapping[str, Path],
    small: Mapping[str, Path],
    signals: Signals,
    hidden: np.ndarray,
    vocab: int,
) -> Dict[str, Report]:
    """Return error and agreement of the files in int8, by part; see `parts`."""
    found = {}
    if "model" in small:
        paths = full["model"], small["model"]
        found["model"] = parts.compare_encoders(*paths, signals)
    encoders = ("model", "step")
    rest = {part: path for part, path in full.items() if part not in encoders}
    others = {part: path for part, path in small.items() if part not in encoders}
    if others:
        mixed = {**rest, **others}
        found["decoder"] = parts.compare_steps(rest, mixed, hidden, vocab)
    return found


def record(
    out: Path, package: Mapping[str, Any], signals: Signals, hidden: Any, vocab: int
) -> None:
    """Write an input and what the files make of it, for the machine they go to."""
    stored = {
        "input": signals.of(signals.size(SMALL_INPUT), 2),
        "hidden": hidden[:25],
        "tokens": parts.drawn(vocab)[:1, :6],
    }
    stored.update(outputs(out, package, stored))
    with atomic_write(out / RECORD, "wb") as stream:
        np.savez_compressed(stream, **stored)


def lines(report: Report) -> List[str]:
    """Return what was found, a line for each file."""
    found = []
    for part, result in report["fp32"].items():
        found.append(
            f"{part}.onnx = ESPnet: {result['relative']:.1e} of the largest output "
            f"(bar {result['bar']:.0e}), {result['frames']} frames"
        )
    for part, result in report["int8"].items():
        found.append(
            f"{part} in int8: {100 * result['alike']:.2f} % of {result['frames']} "
            f"frames alike, {result['relative']:.1e} of the largest output"
        )
    if "texts" in report:
        texts = report["texts"]
        alike = ", ".join(f"{n} by {name}" for name, n in texts["alike"].items())
        count = texts["utterances"]
        found.append(f"texts alike of {count} utterances of {texts['audio']}: {alike}")
    for name, target in report.get("targets", {}).items():
        release = " ".join(filter(None, [name, target["version"]]))
        found.append(
            f"{release}, {target['slot']} in {target['precision']}: "
            f"{target['texts']['alike']} of {target['texts']['of']} texts alike"
        )
    cut = report["masked_is_cut"]
    if cut["structures"]:
        found.append(f"masked = cut: {cut['relative']:.1e} of the largest output")
    else:
        logging.warning(f"masked = cut is not tried: {cut['why']}")
    ms = ", ".join(f"{name} {value:g}" for name, value in report["encoder_ms"].items())
    found.append(f"encoder, ms for 10 s on one thread: {ms}")
    return found

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A deployed model in int8: what is decided, written and told."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, Mapping

from espnet_prune.data.calibration import evenly
from espnet_prune.deploy.int8.choice.decide import File, Rules
from espnet_prune.deploy.int8.choice.judge import Judge, Speech
from espnet_prune.deploy.int8.cpu import cpu
from espnet_prune.deploy.int8.parts import parts_of
from espnet_prune.deploy.int8.quantize import load, write_small
from espnet_prune.deploy.int8.steps import of_speech, typical
from espnet_prune.utils import UserError, read_json, write_json

CALIBRATED = 20  # utterances that say what inputs convolutions have
SEARCHED = 50  # by a decoder, which takes longer than CTC


def quantise_package(
    folder: Path,
    speech: Speech,
    max_wer_loss: float = 0.5,
    must_be_faster: bool = True,
) -> Dict[str, Any]:
    """Write files in int8 into a deployed model, where it pays, and its config.json.

    Args:
        folder: The deployed model.
        speech: Utterances that calibrate and judge.
        max_wer_loss: What may be lost, in points of the error rate.
        must_be_faster: Whether what is not 1.15 x as fast stays in fp32.

    Returns:
        {cpu, max_wer_loss, parts: rows of the table, files: {part: {times, bytes,
        score}}}, plain data.

    Raises:
        UserError: There is no speech, or none is long enough.
    """
    config = read_json(folder / "config.json")
    speech = _usable(speech, config)
    rules = Rules(max_wer_loss, cpu()["reduce_range"], must_be_faster)
    judge, audio = Judge(folder, speech), speech.audio
    chosen: Dict[str, Path] = {}
    found: Dict[str, Any] = {"cpu": cpu(), "max_wer_loss": max_wer_loss}
    found.update(must_be_faster=must_be_faster, parts=[], files={})
    plain = judge.hear({}, "fp32")
    some = evenly(list(audio), CALIBRATED)
    feeds = [of_speech(audio[name], config) for name in some]
    for part, names in config["files"].items():
        if part == "step":  # of a stream: a block is a small product
            continue
        if part != "model" and plain.paths:  # decoders are judged by what they say
            fewer = {name: audio[name] for name in evenly(list(audio), SEARCHED)}
            judge = Judge(folder, dataclasses.replace(speech, audio=fewer))
            plain = judge.hear({}, "fp32, by the decoder", by_ctc=False)
        inputs = typical(folder, part, config, audio)
        given = feeds if part == "model" else [inputs]
        file = File(part, folder, inputs, given, rules)
        if file.parts and file.decide(judge, plain, chosen):
            chosen[part], names["int8"] = file.target, file.target.name
        else:
            names.pop("int8", None)
        found["parts"] += list(file.rows.values())
        found["files"][part] = _told(file)
    config["precision"] = "int8" if chosen else "fp32"
    write_json(config, folder / "config.json")
    return found


def _usable(speech: Speech, config: Mapping[str, Any]) -> Speech:
    """Return the utterances that are long enough.

    Raises:
        UserError: There is none.
    """
    least = config["min_samples"]
    audio = {name: a for name, a in speech.audio.items() if len(a) >= least}
    if not audio:
        raise UserError(
            "--calibration: no utterance is long enough for this model, so nothing "
            "says what int8 loses; give speech, or --int8 false"
        )
    return dataclasses.replace(speech, audio=audio)


def _told(file: File) -> Dict[str, Any]:
    """Return what became of a file."""
    sizes = {"fp32": file.source.stat().st_size}
    if file.target.is_file():
        sizes["int8"] = file.target.stat().st_size
    return {"bytes": sizes, "ms": file.times, "score": file.score}


def small_weights(folder: Path, bits: int) -> Dict[str, int]:
    """Write files whose weights have few bits: smaller, and no faster.

    They are named model.w4.onnx and so on, beside the others.

    Args:
        folder: The deployed model.
        bits: 8 or 4.

    Returns:
        The bytes of each file by name.

    Raises:
        UserError: This onnxruntime cannot.
    """
    sizes = {}
    for part, names in read_json(folder / "config.json")["files"].items():
        model = load(folder / names["fp32"])
        path = folder / f"{part}.w{bits}.onnx"
        write_small(model, path, parts_of(model).values(), bits)
        sizes[path.name] = path.stat().st_size
    return sizes

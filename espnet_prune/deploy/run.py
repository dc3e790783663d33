# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The command `deploy`: a directory that runs without ESPnet and torch."""

import argparse
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from espnet_prune.deploy.int8.choice.command import check_options, write_smaller
from espnet_prune.deploy.int8.choice.speech import find_speech
from espnet_prune.deploy.onnx.describe import (
    CONFIG,
    decoding_of,
    described,
    write_tokens,
)
from espnet_prune.deploy.onnx.package import checked, export_model
from espnet_prune.deploy.onnx.streaming import check_stream
from espnet_prune.deploy.proof import lines, prove
from espnet_prune.deploy.proof.again import source_of
from espnet_prune.deploy.proof.compare import NotProven
from espnet_prune.deploy.standalone import write_runtime
from espnet_prune.deploy.targets.write import (
    MOST,
    Chosen,
    choose,
    named_targets,
    write_targets,
)
from espnet_prune.deploy.variants import Variant, variants
from espnet_prune.runtime.package import Config, Package
from espnet_prune.source import find_model
from espnet_prune.utils import UserError, read_json, read_mapping, write_json


def deploy(args: argparse.Namespace) -> None:
    """Deploy a model; see `espnet_prune.bin.deploy`.

    Args:
        args: Its command line.

    Raises:
        UserError: Bad input, before anything is written.
    """
    out = Path(os.path.abspath(args.output_dir))
    check_out(out)
    check_options(args)
    targets = named_targets(args.targets, args.calibration)
    decoding: Dict[str, Any] = {}
    if args.inference_config:
        conf = read_mapping(args.inference_config)
        decoding = decoding_of(conf, args.inference_config)
    out.parent.mkdir(parents=True, exist_ok=True)
    source = find_model(args.model, out.with_name(f"{out.name}.source"))
    parts = variants(source, args.sizes, args.depths)
    with_decoder = args.decoder == "true"
    model, config = parts[0].load(args.task, with_decoder)
    exported = checked(model)
    check_stream(exported, args.stream)
    about = Config(**described(model, config, exported, None))
    package = Package(out, about, list(config["token_list"]))
    chosen = choose(targets, args.targets, package, config)
    part = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        found = export_model(model, config, part, decoding, args.stream)
        write_tokens(config, part)
        for variant in parts[1:]:
            below, own = variant.load(args.task, with_decoder)
            export_model(below, own, part / variant.folder, decoding, args.stream)
            found[variant.kind][variant.name] = variant.folder
        write_json(found, part / CONFIG)
        told = write_smaller(args, config, [part / v.folder for v in parts])
        found = read_json(part / CONFIG)
        heard = _write_targets(args, config, part, chosen)
        write_runtime(part, found, heard)
        for variant in reversed(parts):
            _prove(variant, part, args, None if variant.folder else heard)
        put(part, out)
    except NotProven as error:
        raise UserError(
            f"--output_dir {out}: is not written, because {error}"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(json.dumps({"output_dir": str(out), **found, **told}))


def _write_targets(
    args: argparse.Namespace,
    config: Mapping[str, Any],
    part: Path,
    chosen: Mapping[str, Chosen],
) -> Dict[str, Any]:
    """Write the model for other runtimes; see `write_targets`."""
    if not chosen:
        return {}
    with tempfile.TemporaryDirectory() as place:
        found = find_speech(args.calibration, config, Path(place), most=MOST)
    return write_targets(part, chosen, found.audio)


def _prove(
    variant: Variant,
    part: Path,
    args: argparse.Namespace,
    targets: Optional[Mapping[str, Any]],
) -> None:
    """Prove the files of one model, which are complete."""
    decoder = args.decoder == "true"
    model, config = variant.load(args.task, decoder)
    more = {"task": args.task, "decoder": decoder, "blocks": variant.blocks}
    source = source_of(*variant.source, **more)
    found = prove(part / variant.folder, model, config, source, targets=targets)
    for line in lines(found):
        logging.info(f"{variant.folder}: {line}" if variant.folder else line)


def check_out(out: Path) -> None:
    """Refuse to replace what is no deployed model.

    Raises:
        UserError: It holds something else.
    """
    if out.is_dir() and not any(out.iterdir()):
        return
    known = (out / CONFIG).is_file() and "format" in read_json(out / CONFIG)
    if out.exists() and not known:
        raise UserError(
            f"--output_dir {out}: holds other files; give a new or an empty directory"
        )


def put(part: Path, out: Path) -> None:
    """Give a finished directory its name; one of before is replaced as a whole."""
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        os.replace(out, old)
    os.replace(part, out)
    shutil.rmtree(old, ignore_errors=True)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Similarity of a model's layers, from its files to files of the result."""

from pathlib import Path
from typing import Any, Dict, Mapping

import torch

from espnet_prune import __version__
from espnet_prune.measure.similarity.matrix_file import save_matrix
from espnet_prune.measure.similarity.model import measure_model
from espnet_prune.models import load_model
from espnet_prune.report.search_plots import heat_map
from espnet_prune.utils import PathLike, UserError, sha256


def write_similarity(
    model_config: PathLike,
    model_file: PathLike,
    output_dir: Path,
    *,
    device: str = "cpu",
    task: Any = None,
    measure: str = "svcca",
    mode: str = "frame",
    **more: Any,
) -> Dict[str, Any]:
    """Measure a model; write the matrix, and its picture below images/.

    Args:
        model_config: config.yaml.
        model_file: Checkpoint.
        output_dir: Where the files go.
        device: Where the model runs.
        task: Of the model; by default its config says it.
        measure: See `measure_model`.
        mode: See there.
        more: See there.

    Returns:
        What `table` shows.

    Raises:
        UserError: See `load_model` and `measure_model`; or there is no such device.
    """
    model, config = load_model(model_config, model_file, task)
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device} is not there: {error}") from error
    matrix, about = measure_model(model, config, measure=measure, mode=mode, **more)
    provenance = {
        **about,
        "model_file": str(model_file),
        "model_sha256": sha256(model_file),
        "versions": {"espnet_prune": __version__, "torch": torch.__version__},
    }
    name = f"similarity_{measure}"
    matrix_file, image = output_dir / f"{name}.npz", output_dir / f"images/{name}.png"
    save_matrix(matrix_file, matrix, **provenance)
    heat_map(matrix, image, label=f"{measure} ({mode})")
    values = matrix.diagonal(1).tolist()
    return {
        **provenance,
        "input_output": values,
        "most_alike": sorted(range(1, len(matrix)), key=lambda i: -values[i - 1]),
        "matrix_file": str(matrix_file),
        "image_file": str(image),
    }


def table(report: Mapping[str, Any]) -> str:
    """Return the similarity of each block's input and output, for people."""
    values = report["input_output"]
    lines = [
        f"{report['measure']} of {report['samples']} samples "
        f"({report['mode']} mode, {report['utterances']} utterances)",
        "",
        "block  similarity of input and output",
        *(f"{i:>5}  {value:.4f}" for i, value in enumerate(values, 1)),
        "",
        f"most alike first: {', '.join(map(str, report['most_alike']))}",
        f"written: {report['matrix_file']}, {report['image_file']}",
    ]
    return "\n".join(lines)

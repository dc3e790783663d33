# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A model of ESPnet as a directory of ONNX files."""

from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from torch import nn

from espnet_prune.deploy.onnx.decoder import check_decoder, export_decoder
from espnet_prune.deploy.onnx.describe import CONFIG, decoder_of, described
from espnet_prune.deploy.onnx.encoder import Model
from espnet_prune.deploy.onnx.export import write
from espnet_prune.deploy.onnx.streaming import AUTO, FALSE, STEP, why_not, write_step
from espnet_prune.deploy.onnx.transducer import check_transducer, export_transducer
from espnet_prune.families import unit_graph
from espnet_prune.tasks import task_of
from espnet_prune.utils import PathLike, UserError, write_json

# what may stand where, by its name in a configuration
_PARTS = {
    "frontend": ("default", "kaldi_fbank", "pruned_ssl", None),
    "normalize": ("global_mvn", "utterance_mvn", None),
    "preencoder": ("linear", None),
    "postencoder": (None,),
    "deliberationencoder": (None,),
}
_TASKS = ("asr", "slu")


def check_config(config: Mapping[str, Any], where: PathLike) -> None:
    """Refuse, before a model is built, what cannot be exported.

    Args:
        config: Content of its config.yaml.
        where: The file, for errors.

    Raises:
        UserError: It has a part that runs elsewhere only, or is of another task.
    """
    task = task_of(config, where).name
    if task not in _TASKS:
        raise UserError(
            f"{where}: a model of task {task} cannot be deployed; those of the tasks "
            f"{' and '.join(_TASKS)} can"
        )
    for key, known in _PARTS.items():
        part = config.get(key, known[0])
        if part not in known:
            names = " and ".join("null" if name is None else name for name in known)
            raise UserError(
                f"{where}: {key}: {part} cannot be exported to ONNX; {names} can"
            )


def checked(model: nn.Module) -> Model:
    """Return what is exported of a model, or say why it cannot be.

    Raises:
        UserError: A part cannot be exported, or nothing of it says tokens.
    """
    decoder = decoder_of(model)
    if model.ctc is None and decoder is None:
        raise UserError(
            "the model has neither CTC nor a decoder, so that nothing says tokens; "
            "give one that recognises speech"
        )
    if decoder:
        {"attention": check_decoder, "transducer": check_transducer}[decoder](model)
    return Model(
        model.encoder,
        model.ctc,
        getattr(model, "frontend", None),
        getattr(model, "normalize", None),
        getattr(model, "preencoder", None),
        hidden=decoder is not None,
    )


def export_model(
    model: nn.Module,
    config: Mapping[str, Any],
    folder: Path,
    decoding: Optional[Mapping[str, Any]] = None,
    stream: str = AUTO,
) -> Dict[str, Any]:
    """Write the ONNX files of a model, and its `config.json`.

    Args:
        model: ESPnet's model in evaluation mode; it is left as it is.
        config: Content of its config.yaml.
        folder: Where they go.
        decoding: How a beam search goes; see `decoding_of`.
        stream: Whether the step of a stream is written, one of
            `streaming.CHOICES`; "auto" where the model can hear one.

    Returns:
        What `config.json` says.

    Raises:
        UserError: See `checked`.
    """
    exported, size = checked(model), None
    if not exported.speech:
        linear = exported.before
        places = unit_graph(model.encoder).places
        size = places["encoder"].input_size if linear is None else linear.in_features
    folder.mkdir(parents=True, exist_ok=True)
    write(exported, folder / "model.onnx", size)
    found = described(model, config, exported, size)
    found["decoding"].update(decoding or {})
    if stream != FALSE and why_not(exported) is None:
        found["stream"] = write_step(exported, folder / STEP, size)
        found["files"]["step"] = {"fp32": STEP}
    files = {"attention": export_decoder, "transducer": export_transducer}
    if found["decoder"]:
        for name, path in files[found["decoder"]](model, folder).items():
            found["files"][name] = {"fp32": path.name}
    write_json(found, folder / CONFIG)
    return found

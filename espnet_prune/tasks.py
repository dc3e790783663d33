# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Which of ESPnet's tasks a model is of, and what ESPnet has for it.

A config.yaml does not name its task. What tells is the keys that only one task writes;
`task: NAME` in it, or --task of a command, overrides them.
"""

import argparse
import dataclasses
import importlib
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from espnet_prune.utils import PathLike, UserError, check_keys

KEY = "task"


Labels = Tuple[str, ...]


def _text(config: Mapping[str, Any]) -> Labels:
    return ("text",)


def _text_and_before(config: Mapping[str, Any]) -> Labels:
    return ("text", "text_prev", "text_ctc")


def _text_and_source(config: Mapping[str, Any]) -> Labels:
    conf = config.get("model_conf") or {}
    source = any(conf.get(f"{task}_weight", 0.0) > 0 for task in ("asr", "mt"))
    return ("text", *(("src_text",) if source else ()))


def _text_and_transcript(config: Mapping[str, Any]) -> Labels:
    return ("text", *(("transcript",) if config.get("postdecoder") else ()))


@dataclasses.dataclass(frozen=True)
class Task:
    """What ESPnet has for the models of one task.

    Attributes:
        name: Its module in `espnet2.tasks`.
        label: Its class in there.
        marks: Keys of config.yaml that only this task writes; or pairs of a key and
            a value.
        decoding: The module in `espnet2.bin` that decodes, "" where there is none.
        decoder: The class in there.
        prefix: What its arguments for the model begin with, as in asr_train_config.
        spells: Whether the CTC of its models spells what the data calls text.
        says_tokens: Whether its models have a list of tokens.
        labels: What the data of a training has beside speech, by the config.yaml; None
            where ESPnet's own command trains.
    """

    name: str
    label: str
    marks: Tuple[Any, ...] = ()
    decoding: str = ""
    decoder: str = "Speech2Text"
    prefix: str = ""
    spells: bool = False
    says_tokens: bool = True
    labels: Optional[Callable[[Mapping[str, Any]], Labels]] = _text

    def espnet_class(self) -> Any:
        """Return ESPnet's class: build_model, build_preprocess_fn, build_collate_fn,
        build_iter_factory and more; it knows our encoders.
        """
        from espnet_prune.registry import register

        register()
        module = importlib.import_module(f"espnet2.tasks.{self.name}")
        return getattr(module, self.label)

    def prefix_in(self, heard: Any) -> str:
        """Return what an object that decodes calls its model by, as in asr_model.

        Args:
            heard: One of the class `decoder`.
        """
        # ESPnet's class of task slu calls its model as that of asr does
        prefixes = (self.prefix, ASR.prefix)
        return next(p for p in prefixes if hasattr(heard, f"{p}_model"))

    def decoding_module(self) -> Any:
        """Return the module that decodes, with `inference` and `get_parser`.

        Raises:
            UserError: ESPnet decodes nothing with models of this task.
        """
        if not self.decoding:
            raise UserError(f"task {self.name}: ESPnet has no decoding for its models")
        self.espnet_class()
        return importlib.import_module(f"espnet2.bin.{self.decoding}")


# the first that fits is taken; what fits none is asr
TASKS: Dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "s2t_ctc",
            "S2TTask",
            ("promptencoder", "promptencoder_conf"),
            decoding="s2t_inference_ctc",
            prefix="s2t",
            labels=_text_and_before,
        ),
        Task(
            "s2t",
            "S2TTask",
            (("preprocessor", "s2t"),),
            decoding="s2t_inference",
            prefix="s2t",
            labels=_text_and_before,
        ),
        Task(
            "slu",
            "SLUTask",
            ("deliberationencoder", "postdecoder", "transcript_token_list"),
            decoding="slu_inference",
            decoder="Speech2Understand",
            prefix="slu",
            spells=True,
            labels=_text_and_transcript,
        ),
        Task(
            "st",
            "STTask",
            ("extra_asr_decoder", "extra_mt_decoder", "st_joint_net_conf"),
            decoding="st_inference",
            prefix="st",
            labels=_text_and_source,
        ),
        Task(
            "asr_transducer",
            "ASRTransducerTask",
            ("joint_network_conf",),
            decoding="asr_transducer_inference",
            prefix="asr",
        ),
        Task("ssl", "SSLTask", ("util", "loss"), labels=None),
        # MT has no audio, the others decide about classes and speakers
        Task("mt", "MTTask", (("frontend", "embed"),), labels=None),
        Task(
            "diar",
            "DiarizationTask",
            ("label_aggregator", "attractor"),
            labels=None,
            says_tokens=False,
        ),
        Task("cls", "CLSTask", (("decoder", "linear"),), labels=None),
        Task("asr", "ASRTask", (), "asr_inference", prefix="asr", spells=True),
    )
}
ASR = TASKS["asr"]

_AS_ASR = "; prune its recogniser as a model of task asr on its own"
# tasks whose models have nothing that can be removed, by what only they write
_OTHERS: Dict[str, Tuple[Tuple[Any, ...], str]] = {
    "enh_s2t": (("subtask_series",), _AS_ASR),
    "enh": (("separator", "criterions"), ""),
    "hubert": (
        ("pred_masked_weight",),
        "; make it the encoder of task asr first: encoder: pruned_wav2vec2",
    ),
    "lm": (("lm", "lm_conf"), ""),
    "s2st": (("s2st_type", "synthesizer"), _AS_ASR),
    "spk": (("pooling", "projector"), ""),
    "tts": (("tts", "tts_conf"), ""),
}


def _marked(config: Mapping[str, Any], marks: Tuple[Any, ...]) -> bool:
    pairs = [mark for mark in marks if isinstance(mark, tuple)]
    return any(mark in config for mark in marks if isinstance(mark, str)) or any(
        config.get(key) == value for key, value in pairs
    )


def _of_class(path: str) -> str:
    """Return the task of a class, by which espnet3 names it; "" where that is not told.

    Args:
        path: Such as espnet3.systems.esp2_asr.task.ASRTask, one of ESPnet 2, or ours.
    """
    *modules, label = path.split(".")
    if modules[:2] == ["espnet2", "tasks"]:
        return modules[-1]
    label = label.replace("Prune", "")
    if label == "ASRTransducerTask":
        return "asr_transducer"
    found = [task.name for task in TASKS.values() if task.label == label]
    return found[0] if len(found) == 1 else ""


def task_named(name: str, where: PathLike = "--task") -> Task:
    """Return a task.

    Args:
        name: As ESPnet names it, e.g. "st".
        where: What names it, for errors.

    Raises:
        UserError: There is no such task, or nothing of its models can be removed.
    """
    if name in _OTHERS:
        raise UserError(
            f"{where}: a model of task {name} has no encoder or decoder that can be "
            f"pruned{_OTHERS[name][1]}"
        )
    check_keys([name], TASKS, f"{where}: task")
    return TASKS[name]


def task_of(config: Mapping[str, Any], where: PathLike = "config.yaml") -> Task:
    """Return the task that a model is of.

    Args:
        config: Content of its config.yaml.
        where: The file that it is from, for errors.

    Raises:
        UserError: See `task_named`.
    """
    named = str(config.get(KEY) or "")
    if "." in named:
        named = _of_class(named)
    if named:
        return task_named(named, where)
    other = next((n for n, (m, _) in _OTHERS.items() if _marked(config, m)), None)
    if other is not None:
        return task_named(other, where)
    return next((t for t in TASKS.values() if _marked(config, t.marks)), ASR)


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add --task to a command that loads a model."""
    parser.add_argument(
        "--task",
        choices=sorted(TASKS),
        help="ESPnet's task of the model; by default what its config.yaml looks like",
    )


def with_task(config: Dict[str, Any], task: Optional[str]) -> Dict[str, Any]:
    """Return a config that says its task, if it does not look like it.

    Args:
        config: Content of config.yaml.
        task: A name, or None for what it looks like.

    Raises:
        UserError: See `task_named`.
    """
    if task is None:
        return config
    named = task_named(task)
    plain = {key: value for key, value in config.items() if key != KEY}
    try:
        looks = task_of(plain)
    except UserError:
        looks = None
    return plain if looks is named else {**plain, KEY: named.name}

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Recovery: one cycle of training after the cut, for some minutes.

With transcripts the cut model learns from them. Without, it learns from the dense one:
what that hears takes the place of transcripts, and its outputs and hidden states teach.
"""

import contextlib
import dataclasses
import logging
import math
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import torch

from espnet_prune.data.speech import Entries, load_utterance, open_speech
from espnet_prune.data.tables import read_table, write_table
from espnet_prune.measure.duration import rate_of
from espnet_prune.model_files import find_checkpoint
from espnet_prune.models import load_model
from espnet_prune.quick.hearing import Hearing
from espnet_prune.quick.rate import batch_seconds, rule_of, top_rate
from espnet_prune.quick.setting import Setting
from espnet_prune.source import Source
from espnet_prune.tasks import task_of
from espnet_prune.utils import UserError, read_json, write_changed, write_json

EPOCHS = 5  # at most; each is judged, the two best are averaged
STEPS = 300  # that a cycle should have: batches get smaller before it has fewer
FEW = 20  # steps of an epoch, at least
SPARE = 0.8  # of the time goes into steps
TEACHER = 1.5  # times as long takes a step with a teacher
TRIED = 3  # steps that are timed


@dataclasses.dataclass(frozen=True)
class Cycle:
    """A training that fits into some minutes.

    Attributes:
        steps: In all.
        epochs: In which they are taken.
        seconds: Of speech in a batch.
        rate: Highest learning rate.
    """

    steps: int
    epochs: int
    seconds: float
    rate: float

    @classmethod
    def within(cls, minutes: float, spent: float, dense: float, top: float) -> "Cycle":
        """Return the cycle that there is time for.

        Args:
            minutes: The time.
            spent: Seconds that a step takes for a second of speech.
            dense: Seconds of speech in a batch of the dense training.
            top: Its highest learning rate; smaller batches lower it by the root.

        Raises:
            UserError: There is no time for a training.
        """
        whole = 60 * minutes * SPARE / spent  # seconds of speech
        seconds = min(dense, whole / STEPS)
        steps = int(whole / seconds)
        if seconds < 1.0 or steps < FEW:
            raise UserError(
                f"--recover {minutes:g}: too short here, {steps} steps on {seconds:.1f}"
                " s of speech each would fit; give more minutes"
            )
        epochs = max(1, min(EPOCHS, steps // FEW))
        steps -= steps % epochs
        return cls(steps, epochs, seconds, top * math.sqrt(seconds / dense))

    def conf(self, config: Dict[str, Any]) -> Dict[str, Any]:
        """Return the YAML of the training.

        Args:
            config: config.yaml of the dense model.
        """
        name, own = rule_of(config)
        return {
            "batch_type": "numel",
            "batch_bins": max(1, int(self.seconds * rate_of(config))),
            "max_epoch": self.epochs,
            "num_iters_per_epoch": self.steps // self.epochs,
            "best_model_criterion": [criterion(config)],
            "keep_nbest_models": 2,
            "num_att_plot": 0,
            "num_workers": 0,
            "log_interval": max(1, self.steps // self.epochs // 2),
            "use_matplotlib": False,
            "use_tensorboard": False,
            "optim": name,
            "optim_conf": {**own, "lr": self.rate},
            "scheduler": "cosineannealingwarmuprestarts",
            "scheduler_conf": {
                "first_cycle_steps": self.steps,
                "warmup_steps": max(1, self.steps // 10),
                "max_lr": self.rate,
                "min_lr": self.rate / 200,
            },
        }


def criterion(config: Dict[str, Any]) -> List[str]:
    """Return what the epochs of a model are judged by, as ESPnet writes it."""
    conf = config.get("model_conf") or {}
    decoder = config.get("decoder")
    alone = conf.get("ctc_weight", 0.5) == 1.0 or conf.get("st_mtlalpha", 0.0) == 1.0
    if decoder not in (None, "transducer") and not alone:
        return ["valid", "acc", "max"]
    if decoder is None and conf.get("report_cer", True):
        return ["valid", "cer_ctc", "min"]
    return ["valid", "loss", "min"]


def check_recovery(config: Mapping[str, Any], minutes: float) -> None:
    """Refuse, before any long work, a model that cannot be trained here.

    Args:
        config: Its config.yaml.
        minutes: How long it is to be trained.

    Raises:
        UserError: It is of a task that decodes nothing, or there is no time.
    """
    task = task_of(config)
    if not task.decoding:
        raise UserError(
            f"--recover: a model of task {task.name} says nothing that a training "
            "could be judged by; leave it out"
        )
    if not minutes > 0:
        raise UserError(f"--recover {minutes:g}: must be more than 0 minutes")


def recover(setting: Setting, cut: Source, minutes: float) -> Tuple[Source, Dict]:
    """Train a cut model for some minutes.

    Args:
        setting: Model and audio.
        cut: The cut model.
        minutes: How long.

    Returns:
        The trained model, and what was done.

    Raises:
        UserError: There is too little time, or ESPnet refuses the training.
    """
    began, folder = time.perf_counter(), setting.folder / "recover"
    data = {"train": setting.entries, "valid": setting.judging}
    if not setting.labelled:
        data = {k: _as_heard(setting, e, folder / k) for k, e in data.items()}
    elif not any(name == "text" for _, name, _ in setting.judging):
        data["valid"] = _as_heard(setting, setting.judging, folder / "valid")
    config, words = setting.config, []
    lengths = {part: _lengths(setting, e, folder / part) for part, e in data.items()}
    plan = folder / "cycle.json"
    if plan.is_file():  # it was interrupted, and goes on as it was meant
        cycle = Cycle(**read_json(plan))
    else:
        spent = step_time(cut, data["train"], lengths["train"], setting.device)
        spent *= 1.0 if setting.labelled else TEACHER
        mean = sum(lengths["train"].values()) / len(lengths["train"])
        left = minutes - (time.perf_counter() - began) / 60
        batch = batch_seconds(config, mean)
        cycle = Cycle.within(left, spent, batch, top_rate(config))
        write_json(dataclasses.asdict(cycle), plan)
    logging.info(
        f"recovery: {cycle.steps} steps on {cycle.seconds:.1f} s of speech each, top "
        f"rate {cycle.rate:.2g}, about {minutes:g} minutes"
    )
    for part, entries in data.items():
        for entry in entries:
            words += [f"--{part}_data_path_and_name_and_type", ",".join(entry)]
        words += [f"--{part}_shape_file", str(folder / part / "speech_shape")]
    words += ["--config", write_changed(cycle.conf(config), folder / "cycle.yaml")]
    words += ["--base_config", str(cut.config), "--init_param", str(cut.model_file)]
    words += ["--output_dir", str(folder / "exp"), "--resume", "true"]
    words += ["--ngpu", str(setting.args.ngpu), "--seed", str(setting.args.seed)]
    if not setting.labelled:
        words += ["--teacher_config", str(setting.source.config)]
        words += ["--teacher_model", str(setting.source.model_file)]
    with contextlib.redirect_stdout(sys.stderr):
        from espnet_prune.train.command import train as run

        run(words)
    exp = folder / "exp"
    name = ".".join(criterion(config)[:2])
    found = Source(exp / "config.yaml", find_checkpoint(exp, f"{name}.ave.pth"))
    took = (time.perf_counter() - began) / 60
    return found, {**dataclasses.asdict(cycle), "minutes": took}


def _as_heard(setting: Setting, entries: Entries, folder: Path) -> Entries:
    """Return speech with what the dense model hears, without what it does not."""
    speech = next(entry for entry in entries if entry[1] == "speech")
    if not (folder / "text").is_file():
        hearing = Hearing([speech], setting.config, {}, setting.device)
        texts = hearing.hear(setting.model, "dense")
        texts = {key: words for key, words in texts.items() if words.strip()}
        if not texts:
            raise UserError("--recover: the dense model hears no word in the audio")
        table = read_table(speech[0])
        write_table(folder / "wav.scp", {key: table[key] for key in texts})
        write_table(folder / "text", texts)
    return [
        (str(folder / "wav.scp"), "speech", speech[2]),
        (str(folder / "text"), "text", "text"),
    ]


def _lengths(setting: Setting, entries: Entries, folder: Path) -> Dict[str, float]:
    """Return seconds by utterance, and write the shapes that batches are made by."""
    data, _ = open_speech(entries[:1], setting.config, labels=False)
    rate, found, known = rate_of(setting.config), {}, True
    for key in data:
        found[key] = setting.seconds.get(key) or 0.0
        if not (found[key] and known):
            found[key] = len(load_utterance(data, key)[1]["speech"]) / rate
        elif len(found) == 1:  # some tasks bring every utterance to one length
            loaded = len(load_utterance(data, key)[1]["speech"]) / rate
            known = abs(loaded - found[key]) < 0.01
            found[key] = loaded
    shapes = {key: str(round(seconds * rate)) for key, seconds in found.items()}
    write_table(folder / "speech_shape", shapes)
    return found


def step_time(
    model: Source, entries: Entries, lengths: Dict[str, float], device: str
) -> float:
    """Return the seconds that a step of training takes for a second of speech.

    Args:
        model: The model.
        entries: Speech and text.
        lengths: Seconds of every utterance.
        device: Where it is trained.
    """
    trained, config = load_model(model.config, model.model_file)
    data, collate = open_speech(entries, config, labels=True)
    keys: List[str] = []
    for key in lengths:
        if sum(lengths[k] for k in keys) < 10.0:
            keys.append(key)
    _, batch = collate([load_utterance(data, key) for key in keys])
    batch = {key: value.to(device) for key, value in batch.items()}
    trained.to(device).train()
    seconds, times = sum(lengths[key] for key in keys), []
    for _ in range(TRIED):
        start = time.perf_counter()
        trained(**batch)[0].backward()
        times.append(time.perf_counter() - start)
        trained.zero_grad()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1.15 * min(times) / seconds

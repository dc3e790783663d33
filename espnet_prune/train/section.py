# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The section `model` of an espnet3 training that goes on from a model."""

import os
from pathlib import Path
from typing import Optional

from espnet_prune.models import load_model, read_model_config
from espnet_prune.source import Source
from espnet_prune.tasks import ASR, task_of
from espnet_prune.train.command import MODEL_KEYS
from espnet_prune.utils import UserError, atomic_write, write_yaml


def write_section(source: Source, teacher: Optional[Source], output: Path) -> None:
    """Write it, and the tokens beside it; both files of the model are read first.

    Args:
        source: What is trained on.
        teacher: What it learns from, if it does.
        output: The YAML.

    Raises:
        UserError: The files do not fit each other, or are of another task than asr.
    """
    task = task_of(read_model_config(source.config), source.config)
    if task is not ASR:
        raise UserError(
            f"{source.config}: a model of task {task.name}; espnet3 trains those of "
            f"task asr, take `espnet-prune asr_train --task {task.name}`"
        )
    _, config = load_model(*source)
    tokens = Path(os.path.abspath(output)).with_name(f"{output.stem}_tokens.txt")
    section = {key: config[key] for key in MODEL_KEYS if key in config}
    section.update(token_list=str(tokens), init_param=[_path(source.model_file)])
    if teacher is not None:
        section["teacher_config"] = _path(teacher.config)
        section["teacher_model"] = _path(teacher.model_file)
    with atomic_write(tokens) as stream:
        stream.writelines(f"{token}\n" for token in config["token_list"])
    write_yaml(section, output)


def _path(path: Path) -> str:
    return os.path.abspath(path)

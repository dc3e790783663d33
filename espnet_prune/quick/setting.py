# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A model and its audio: what is calibrated on, and what is kept aside to judge."""

import argparse
import dataclasses
import functools
import logging
import random
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from torch import nn

from espnet_prune.data.calibration import Audio, find_audio
from espnet_prune.data.speech import Entries
from espnet_prune.data.tables import Table
from espnet_prune.families import family_of
from espnet_prune.measure.cost import MODEL
from espnet_prune.models import load_model
from espnet_prune.quick.hearing import Hearing
from espnet_prune.quick.labels import check_heard, find_labels, write_labels
from espnet_prune.select.obs.speech import MOST_HELD
from espnet_prune.select.plan import Plan
from espnet_prune.source import Source
from espnet_prune.tasks import task_of
from espnet_prune.utils import UserError

METHOD = "obs"
KEPT = 200  # utterances that are kept aside, at most
ONE_OF = 5  # of so many, where there are less; of three, where there are few
FEW = 10
LEAST = 2  # utterances to calibrate on: one of them chooses between orders


@dataclasses.dataclass
class Setting:
    """What a model is pruned with.

    Attributes:
        args: Options: num_utts, seed, ngpu and more.
        folder: Where everything is written.
        source: Files of the dense model.
        model: The dense model, in eval mode.
        config: Its config.yaml.
        entries: Speech, and text if there is some, that is calibrated on.
        labelled: Whether there is text.
        judging: Speech, and text if there is some, that judges.
        seconds: Lengths of the utterances, as far as they are known.
        hearing: What judges.
        about: What calibrates and what judges, in words.
    """

    args: argparse.Namespace
    folder: Path
    source: Source
    model: nn.Module
    config: Dict[str, Any]
    entries: Entries
    labelled: bool
    judging: Entries
    seconds: Dict[str, float]
    hearing: Hearing
    about: Dict[str, str]

    @property
    def device(self) -> str:
        """Where models run."""
        return "cuda" if self.args.ngpu else "cpu"

    def plan(self, budget: Any) -> Plan:
        """Return the plan of a selection.

        A self-supervised front end is most of its model: then the budget is of that.

        Raises:
            UserError: The budget is none, or out of reach; or milliseconds are asked
                for, which are those of the encoder behind such a front end.
        """
        front = getattr(self.model, "frontend", None)
        if isinstance(front, nn.Module) and family_of(front) is not None:
            if budget["kind"] == "ms":
                raise UserError(
                    "--target: ms are those of the encoder, and most of this model is "
                    "its self-supervised front end; give params or macs"
                )
            budget = {"of": MODEL, **budget}
        own = {"num_utts": self.args.num_utts, "labels": self.labelled}
        conf = {
            "method": METHOD,
            "budget": budget,
            "seed": self.args.seed,
            f"{METHOD}_conf": own,
        }
        options = argparse.Namespace(
            **{
                **vars(self.args),
                "model_config": str(self.source.config),
                "model_file": str(self.source.model_file),
                "output_dir": str(self.folder),
                "calibration": None,
            }
        )
        return Plan.of(conf, self.model, self.config, options)


def prepare(args: argparse.Namespace, folder: Path, source: Source) -> Setting:
    """Load a model, and find audio for it.

    Args:
        args: Options: audio, text, dev, dev_text, num_utts, seed, ngpu, recover.
        folder: Where tables and copies of audio go, below data/.
        source: The model's files.

    Raises:
        UserError: The model or the audio cannot be used.
    """
    model, config = load_model(source.config, source.model_file, args.task)
    logging.info(f"model: {source.model_file}")
    data = folder / "data"
    most = args.num_utts + MOST_HELD + (0 if args.dev else KEPT)
    if args.recover is not None:  # a training can use all of it
        most = None
    find = functools.partial(_found, args, config, source)
    audio, labels = find(args.audio, data, args.text, most, "--audio")
    used, aside, other, theirs = list(audio.speech), None, audio, labels
    if args.dev:
        where = data / "dev"
        other, theirs = find(args.dev, where, args.dev_text, KEPT, "--dev")
        judges = other.about
    else:
        used, aside = keep_aside(used, args.seed)
        judges = f"{len(aside)} of them, kept aside"
    if len(used) < LEAST:
        raise UserError(
            f"--audio {args.audio}: {audio.about}; {LEAST} at least are needed"
            + ("" if args.dev else ", and one that judges")
            + ", better some hundred; give more audio"
        )
    judging = other.write(data / "kept", aside)
    judging += write_labels(theirs, aside or list(other.speech), data / "kept")
    texts = {key: other.text[key] for key in aside or other.text if other.labelled}
    if not task_of(config).spells:  # what is heard is compared with the dense model
        texts = {}
    device = "cuda" if args.ngpu else "cpu"
    about = {"audio": audio.about, "judged by": judges}
    for name, words in about.items():
        logging.info(f"{name}: {words}")
    return Setting(
        args=args,
        folder=folder,
        source=source,
        model=model,
        config=config,
        entries=audio.write(data / "used", used)
        + write_labels(labels, used, data / "used"),
        labelled=audio.labelled,
        judging=judging,
        seconds={**audio.seconds, **other.seconds},
        hearing=Hearing(judging, config, texts, device),
        about=about,
    )


def _found(
    args: argparse.Namespace,
    config: Dict[str, Any],
    source: Source,
    what: str,
    folder: Path,
    text: Optional[str],
    most: Optional[int],
    option: str,
) -> Tuple[Audio, Dict[str, Table]]:
    """Find audio, and what a training wants beside speech and text if there is one."""
    audio = find_audio(what, config, folder, text, most, option)
    if args.recover is None:
        return audio, {}
    check_heard(audio, config, f"{option} {what}")
    inside = Path(what) if Path(what).is_dir() else Path(what).parent
    beside = [inside, *([Path(text).parent] if text else [])]
    return audio, find_labels(audio, config, source, beside)


def keep_aside(keys: List[str], seed: int) -> Tuple[List[str], List[str]]:
    """Return the utterances that are used, and those that are kept aside."""
    count = min(KEPT, max(1, len(keys) // ONE_OF, min(FEW, len(keys) // 3)))
    aside = set(random.Random(seed).sample(keys, count))
    used = [key for key in keys if key not in aside]
    return used, [key for key in keys if key in aside]

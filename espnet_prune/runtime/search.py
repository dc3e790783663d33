# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Which search a deployed model is decoded by, with what options."""

import dataclasses
from typing import Any, Dict, Mapping, Optional

import numpy as np

from .errors import UserError, check_keys
from .hypothesis import Hypothesis
from .package import Config, Package
from .reader import check_types
from .session import open_session

# {decoding: parts of a model that it needs besides the encoder}
PARTS = {
    "ctc_greedy": (),
    "ctc_beam": (),
    "attention": ("memory", "decoder"),
    "transducer": ("prediction", "joint"),
}
OPTIONS = {
    "beam_size": int,
    "ctc_weight": float,
    "penalty": float,
    "maxlenratio": float,
    "minlenratio": float,
}
_DEFAULTS = {
    "beam_size": 10,
    "ctc_weight": 0.3,
    "penalty": 0.0,
    "maxlenratio": 0.0,
    "minlenratio": 0.0,
}


class Search:
    """From what an encoder has made to tokens.

    Args:
        package: The deployed model.
        precision: As `Package.file` takes it.
        threads: Of one recognition.
        decoding: One of `PARTS`; None stands for the decoder that the model has, or
            else "ctc_greedy".
        options: Those of beam searches, in place of the model's own.

    Raises:
        UserError: The model cannot be decoded so, or an option is unknown or of another
            type.
    """

    def __init__(
        self,
        package: Package,
        precision: Optional[str],
        threads: int,
        decoding: Optional[str],
        options: Mapping[str, Any],
    ) -> None:
        self.config = package.config
        self.decoding = _decoding(package, decoding)
        given = {key: value for key, value in options.items() if value is not None}
        check_keys(given, OPTIONS, "options of the search")
        self.options = {**_DEFAULTS, **self.config.decoding, **given}
        check_types(self.options, OPTIONS, f"{package.folder}: options of the search")
        _check_ranges(self.options, self.config)
        sessions = {
            part: open_session(package.file(part, precision), threads)
            for part in PARTS[self.decoding]
            if part in self.config.files
        }
        self.run = getattr(self, f"_{self.decoding}")
        if self.decoding == "attention":
            from .attention import Attention

            self.decoder: Any = Attention(sessions, dataclasses.asdict(self.config))
        elif self.decoding == "transducer":
            from .transducer import Transducer

            self.decoder = Transducer(sessions, dataclasses.asdict(self.config))

    def __call__(self, outputs: Dict[str, np.ndarray]) -> Hypothesis:
        """Find the tokens of one utterance, and the frames at which they begin.

        Args:
            outputs: "log_probs" (T, V) and "encoder_out" (T, D), where the model has
                them.

        Returns:
            Without times where neither the search nor CTC knows them.
        """
        found = self.run(outputs)
        if found.times is None and self.config.ctc:
            from .ctc_beam import align

            times = align(outputs["log_probs"], found.tokens, self.config.blank)
            return found._replace(times=times)
        return found

    def _ctc_greedy(self, outputs: Dict[str, np.ndarray]) -> Hypothesis:
        from .ctc import ctc_greedy

        return ctc_greedy(outputs["log_probs"], self.config.blank)

    def _ctc_beam(self, outputs: Dict[str, np.ndarray]) -> Hypothesis:
        from .ctc_beam import ctc_prefix_beam

        beam = self.options["beam_size"]
        found = ctc_prefix_beam(outputs["log_probs"], self.config.blank, beam)
        return Hypothesis(*found)

    def _attention(self, outputs: Dict[str, np.ndarray]) -> Hypothesis:
        found = self.decoder.beam(
            outputs["encoder_out"], outputs.get("log_probs"), **self.options
        )
        return found[0] if found else Hypothesis([], -np.inf)

    def _transducer(self, outputs: Dict[str, np.ndarray]) -> Hypothesis:
        beam = self.options["beam_size"]
        return self.decoder.beam(outputs["encoder_out"], beam)[0]


def _decoding(package: Package, wanted: Optional[str]) -> str:
    """Return the decoding that is meant.

    Raises:
        UserError: The model cannot be decoded so.
    """
    config = package.config
    there = ["ctc_greedy", "ctc_beam"] if config.ctc else []
    if config.decoder is not None and PARTS[config.decoder][-1] in config.files:
        there.insert(0, config.decoder)
    if not there:
        raise UserError(
            f"{package.folder}/config.json: the model has neither CTC nor the files of "
            "a decoder; deploy it again"
        )
    if wanted is not None and wanted not in there:
        raise UserError(
            f"{package.folder} cannot be decoded by {wanted}; decoding may be "
            + " or ".join(there)
        )
    return wanted or there[0]


def _check_ranges(options: Mapping[str, Any], config: Config) -> None:
    if options["beam_size"] < 1:
        raise UserError(f"beam_size is {options['beam_size']}, must be at least 1")
    weight = options["ctc_weight"]
    if not 0 <= weight <= 1 or (weight > 0 and not config.ctc):
        least = "from 0 to 1" if config.ctc else "0: the model has no CTC"
        raise UserError(f"ctc_weight is {weight}, must be {least}")

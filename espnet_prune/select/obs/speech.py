# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The utterances of a calibration, and what the model at hand makes of them.

They run one by one, so that no padding has a part in anything that is gathered. Without
transcripts the dense model's own output takes their place: pruning is to change what
the model says as little as possible.
"""

import contextlib
import copy
import logging
import random
from typing import (
    Any,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import torch
from torch import nn

from espnet_prune.compat import TOO_SHORT, BodyEncoder
from espnet_prune.data.calibration import evenly
from espnet_prune.data.speech import Entries, load_utterance, open_speech
from espnet_prune.distill.capture import first
from espnet_prune.models import encoded, prompted
from espnet_prune.select.layers.attention import greedy
from espnet_prune.utils import UserError

HELD = 6  # one utterance of so many judges, where there are few
MOST_HELD = 60


class Utterance(NamedTuple):
    """One utterance: its id, and what ESPnet's models take."""

    name: str
    batch: Dict[str, torch.Tensor]

    def to(self, device: torch.device) -> "Utterance":
        """Return it on a device."""
        batch = {key: value.to(device) for key, value in self.batch.items()}
        return Utterance(self.name, batch)


class Speech:
    """Utterances that are loaded whenever they are needed.

    Args:
        entries: (path, name, type) as ESPnet writes them.
        config: Content of config.yaml.
        labels: Whether transcripts are among them, and count.
        keys: Which utterances; all by default.

    Raises:
        UserError: See `open_speech`.
    """

    def __init__(
        self,
        entries: Entries,
        config: Mapping[str, Any],
        labels: bool,
        keys: Optional[Sequence[str]] = None,
    ) -> None:
        self.data, self.collate = open_speech(entries, config, labels)
        self.labels, self.keys = labels, list(self.data if keys is None else keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Utterance]:
        for key in self.keys:
            _, batch = self.collate([load_utterance(self.data, key)])
            yield Utterance(key, batch)

    def of(self, keys: Sequence[str]) -> "Speech":
        """Return some of the utterances."""
        part = copy.copy(self)
        part.keys = list(keys)
        return part

    def some(self, most: int) -> "Speech":
        """Return at most so many utterances, evenly spaced."""
        return self.of(evenly(self.keys, most))

    def split(self, num_utts: int, seed: int, held: bool) -> Tuple["Speech", "Speech"]:
        """Draw utterances to calibrate on, and others that judge.

        Args:
            num_utts: How many to calibrate on, at most.
            seed: Seed of the drawing.
            held: Whether any are to judge.

        Raises:
            UserError: There are too few utterances.
        """
        keys = random.Random(seed).sample(self.keys, len(self))
        if len(keys) < 1 + held:
            raise UserError(
                f"calibration: {len(keys)} utterance(s); give at least two, one of "
                "which judges (some hundred are better)"
            )
        count = min(MOST_HELD, -(-min(len(keys), num_utts) // HELD)) if held else 0
        return self.of(keys[count : count + num_utts]), self.of(keys[:count])


@torch.no_grad()
def hidden_of(
    model: nn.Module, utterance: Utterance
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Return the encoder's output (1, T, C), and its length (1,)."""
    hidden, lengths = encoded(model, utterance.batch)
    return first(hidden), lengths


@torch.no_grad()
def own_tokens(model: nn.Module, utterance: Utterance) -> List[int]:
    """Return what a model hears, greedily: by CTC, else by its decoder.

    Args:
        model: A model of ESPnet, in eval mode.
        utterance: On its device.

    Raises:
        UserError: It has nothing that says tokens.
    """
    hidden, lengths = hidden_of(model, utterance)
    translates = hasattr(model, "src_vocab_size")  # its CTC spells another language
    if getattr(model, "ctc", None) is not None and not translates:
        tokens = torch.unique_consecutive(model.ctc.argmax(hidden)[0, : int(lengths)])
        return tokens[tokens != getattr(model, "blank_id", 0)].tolist()
    decoder = getattr(model, "decoder", None)
    kinds = ("use_transducer_decoder", "st_use_transducer_decoder")
    if any(getattr(model, kind, False) for kind in kinds) or _is_of_bodies(model):
        return _transduced(model, hidden[0])
    reads_another = getattr(model, "use_multidecoder", False)
    if reads_another or not hasattr(decoder, "batch_score"):
        raise UserError(
            f"{type(model).__name__} says no tokens by itself; give transcripts and "
            "labels: true in obs_conf"
        )
    most = [int(lengths)]
    return [t for t in greedy(decoder, hidden, model.sos, model.eos, most)[0] if t]


def _is_of_bodies(model: nn.Module) -> bool:
    """Say whether a model is of ESPnet's task asr_transducer, which has its search."""
    return isinstance(model.encoder, BodyEncoder)


def _transduced(model: nn.Module, hidden: torch.Tensor) -> List[int]:
    """Return the best path of a transducer for hidden (T, C)."""
    if _is_of_bodies(model):
        from espnet2.asr_transducer.beam_search_transducer import BeamSearchTransducer
    else:
        from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer

    joint = getattr(model, "joint_network", None) or model.st_joint_network
    search = BeamSearchTransducer(model.decoder, joint, beam_size=1)
    return [token for token in search(hidden)[0].yseq[1:] if token]


def loss_of(
    model: nn.Module, utterance: Utterance, tokens: Optional[Sequence[int]]
) -> torch.Tensor:
    """Return the model's loss on an utterance, summed over its tokens.

    Args:
        model: A model of ESPnet, in eval mode.
        utterance: On its device.
        tokens: What it is to say, instead of the transcript; or None.
    """
    batch = dict(utterance.batch)
    if tokens is not None:
        batch["text"] = batch["speech"].new_tensor([tokens], dtype=torch.long)
        batch["text_lengths"] = batch["text"].new_tensor([len(tokens)])
    with _translation_alone(model, batch):
        return model(**prompted(model, batch))[0]


@contextlib.contextmanager
def _translation_alone(
    model: nn.Module, batch: Mapping[str, torch.Tensor]
) -> Iterator[None]:
    """Leave parts of a loss out that want a source text which nobody knows."""
    names = ("asr_weight", "mt_weight") if hasattr(model, "src_vocab_size") else ()
    kept = {name: getattr(model, name) for name in names if "src_text" not in batch}
    try:
        for name in kept:
            setattr(model, name, 0.0)
        yield
    finally:
        for name, value in kept.items():
            setattr(model, name, value)


class Heard:
    """Speech with what is to be heard: transcripts, or the dense model's output.

    Args:
        speech: The utterances.
        model: The dense model, in eval mode, on the device where all runs.

    Attributes:
        tokens: Token ids by utterance; those that are too short, or that are silent,
            are left out.

    Raises:
        UserError: Nothing is heard in any utterance; or see `own_tokens`.
    """

    def __init__(self, speech: Speech, model: nn.Module) -> None:
        self.speech, self.tokens = speech, {}
        self.device = next(model.parameters()).device
        for utterance in speech:
            with contextlib.suppress(*TOO_SHORT):
                if speech.labels:
                    hidden_of(model, utterance.to(self.device))  # is it long enough?
                    found = utterance.batch["text"][0].tolist()
                else:
                    found = own_tokens(model, utterance.to(self.device))
                if found:
                    self.tokens[utterance.name] = found
        left_out = len(speech) - len(self.tokens)
        if not self.tokens:
            raise UserError(
                f"calibration: the model hears nothing in any of {len(speech)} "
                "utterances; give speech of the kind that it was trained on"
            )
        if left_out:
            logging.info(f"{left_out} utterances without a word are left out")

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[Utterance]:
        for utterance in self.speech:
            if utterance.name in self.tokens:
                yield utterance.to(self.device)

    def loss(self, model: nn.Module, utterance: Utterance) -> torch.Tensor:
        """Return the loss of a model on one of the utterances."""
        own = None if self.speech.labels else self.tokens[utterance.name]
        return loss_of(model, utterance, own)


class Judge:
    """Judges a model by what it hears.

    Args:
        heard: Utterances that are not calibrated on.
    """

    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> Any:
        """Return the token error rate, and the loss per utterance.

        Without transcripts errors are against the dense model.
        """
        from rapidfuzz.distance import Levenshtein

        wrong, loss = 0, 0.0
        for utterance in self.heard:
            found = own_tokens(model, utterance)
            wrong += Levenshtein.distance(found, self.heard.tokens[utterance.name])
            loss += float(self.heard.loss(model, utterance))
        total = sum(len(tokens) for tokens in self.heard.tokens.values())
        return wrong / total, loss / len(self.heard)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A fixed labelled subset of the development set, in batches of one length each.

Only utterances of exactly one length share a batch: ESPnet's convolutions see padding,
so that in a padded batch an utterance may be heard otherwise than alone.
"""

import dataclasses
import itertools
import logging
import string
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from espnet_prune.data.cleaning import text_cleaner
from espnet_prune.data.speech import Entries, Labelled, check_labelled, entries_of
from espnet_prune.data.tables import read_table
from espnet_prune.tasks import task_of
from espnet_prune.utils import UserError, check_keys

METRICS = ("wer", "cer")
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclasses.dataclass
class Batch:
    """Some utterances with their references.

    Attributes:
        ids: Utterance ids.
        speech: (N, samples).
        lengths: (N,), all the same.
        refs: Reference words or characters of each utterance, cleaned.
        targets: Token ids of each utterance.
        to_text: Text of a sequence of token ids.
        split: Words or characters of a text, as they are compared.
    """

    ids: List[str]
    speech: torch.Tensor
    lengths: torch.Tensor
    refs: List[List[str]]
    targets: List[torch.Tensor]
    to_text: Callable[[Sequence[int]], str]
    split: Callable[[str], List[str]]

    @property
    def given(self) -> Dict[str, torch.Tensor]:
        """What a model takes."""
        return {"speech": self.speech, "speech_lengths": self.lengths}

    @property
    def num_tokens(self) -> int:
        """Words or characters of all references."""
        return sum(len(ref) for ref in self.refs)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its tensors on a device."""
        return dataclasses.replace(
            self,
            speech=self.speech.to(device),
            lengths=self.lengths.to(device),
            targets=[target.to(device) for target in self.targets],
        )

    @torch.no_grad()
    def texts(self, ctc: Any, hidden: torch.Tensor, lengths: torch.Tensor) -> List[str]:
        """Return the text of each utterance by greedy CTC over the real frames.

        Args:
            ctc: The model's CTC module; blank is 0.
            hidden: (N, T, C).
            lengths: (N,).
        """
        found = []
        for row, length in zip(ctc.argmax(hidden), lengths.tolist()):
            ids = torch.unique_consecutive(row[:length]).tolist()
            found.append(self.to_text([i for i in ids if i]))
        return found

    def distance(self, heard: Sequence[str]) -> int:
        """Return the edit distance of texts to the references, over all utterances."""
        from rapidfuzz.distance import Levenshtein

        return sum(
            Levenshtein.distance(self.split(text), ref)
            for text, ref in zip(heard, self.refs)
        )

    @torch.no_grad()
    def errors(
        self, ctc: Any, hidden: torch.Tensor, lengths: torch.Tensor
    ) -> Tuple[int, float]:
        """Score an encoder output by greedy CTC.

        Args:
            ctc: The model's CTC module.
            hidden: (N, T, C).
            lengths: (N,).

        Returns:
            Edit distance to the references, and CTC loss, summed over utterances.
        """
        logp = ctc.log_softmax(hidden)
        wrong = self.distance(self.texts(ctc, hidden, lengths))
        loss = torch.nn.functional.ctc_loss(
            logp.transpose(0, 1),
            torch.cat(self.targets),
            lengths,
            torch.tensor([len(target) for target in self.targets]),
            reduction="sum",
            zero_infinity=True,
        )
        return wrong, float(loss)


def splitter(metric: str, config: Mapping[str, Any]) -> Callable[[str], List[str]]:
    """Return what makes the words or characters of a text that are compared.

    As in stage 13 of `asr.sh`: without the model's non-linguistic symbols, and, as
    sclite does it, with A to Z in lower case.
    """
    from espnet2.text.build_tokenizer import build_tokenizer

    tokenizer = build_tokenizer(
        token_type={"wer": "word", "cer": "char"}[metric],
        non_linguistic_symbols=config.get("non_linguistic_symbols"),
        remove_non_linguistic_symbols=True,
    )

    def split(text: str) -> List[str]:
        return [t.translate(_LOWER) for t in tokenizer.text2tokens(text.strip())]

    return split


def ids_to_text(config: Mapping[str, Any]) -> Callable[[Sequence[int]], str]:
    from espnet2.text.build_tokenizer import build_tokenizer
    from espnet2.text.token_id_converter import TokenIDConverter

    token_type = config.get("token_type")
    if token_type not in ("bpe", "char", "word"):
        raise UserError(
            f"token_type {token_type}: blocks are searched by error rate for models of "
            "token_type bpe, char or word"
        )
    tokenizer = build_tokenizer(token_type=token_type, bpemodel=config.get("bpemodel"))
    converter = TokenIDConverter(token_list=config["token_list"])
    return lambda ids: tokenizer.tokens2text(converter.ids2tokens(ids))


def load_batches(
    config: Mapping[str, Any],
    entries: Optional[Entries] = None,
    *,
    metric: str = "wer",
    max_utts: int = 320,
    batch_seconds: float = 120.0,
) -> List[Batch]:
    """Load the subset: evenly spaced utterances, batched where lengths are equal.

    Args:
        config: config.yaml of the model.
        entries: (path, name, type) as ESPnet writes them; the validation data of the
            config by default.
        metric: "wer" or "cer".
        max_utts: Size of the subset.
        batch_seconds: Length of a batch at 16 kHz, at most.

    Raises:
        UserError: See `check_labelled` and `open_speech`; an unknown metric; a task
            whose CTC spells something else; no utterance with both speech and text.
    """
    check_keys([metric], METRICS, "metric")
    task = task_of(config)
    if not task.spells:
        raise UserError(
            f"the CTC of models of task {task.name} does not spell the text, so it "
            "cannot judge blocks; choose them by rule: search: truncate, alternate or "
            "random in layers_conf"
        )
    entries = entries or entries_of(config, "valid")
    check_labelled(entries, config)
    paths = {entry[1]: entry[0] for entry in entries}
    texts = read_table(paths["text"])
    ids = [name for name in read_table(paths["speech"]) if texts.get(name)]
    if not ids:
        raise UserError(f"eval data: {paths['text']} labels no utterance of the set")
    used = [entry for entry in entries if entry[1] in ("speech", "text")]
    data = Labelled(used, config, max_utts, ids)
    split, to_text = splitter(metric, config), ids_to_text(config)
    clean = text_cleaner(config.get("cleaner"))
    texts = {name: clean(texts[name]) for name in data.keys}
    samples = sorted(data, key=lambda sample: (len(sample[1]["speech"]), sample[0]))
    batches: List[Batch] = []
    for length, same in itertools.groupby(samples, lambda s: len(s[1]["speech"])):
        group, most = list(same), max(1, int(batch_seconds * 16000 / max(length, 1)))
        for i in range(0, len(group), most):
            batches.append(_batch(group[i : i + most], texts, split, to_text))
    logging.info(
        f"{len(samples)} utterances of {paths['text']}: {len(batches)} batches"
    )
    return batches


def _batch(group: Any, texts: Dict[str, str], split: Any, to_text: Any) -> Batch:
    speech = [torch.as_tensor(sample["speech"]) for _, sample in group]
    return Batch(
        ids=[name for name, _ in group],
        speech=torch.stack(speech),
        lengths=torch.tensor([len(wave) for wave in speech]),
        refs=[split(texts[name]) for name, _ in group],
        targets=[torch.as_tensor(sample["text"]).long() for _, sample in group],
        to_text=to_text,
        split=split,
    )

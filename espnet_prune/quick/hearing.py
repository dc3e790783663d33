# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What models hear in utterances that are kept aside, and how far that is from right.

An utterance is heard greedily: the best path of CTC, else that of the decoder.
"""

import contextlib
from typing import Any, Callable, Dict, List, Mapping, Optional

import torch
from torch import nn

from espnet_prune.compat import TOO_SHORT
from espnet_prune.data.cleaning import text_cleaner
from espnet_prune.data.speech import Entries
from espnet_prune.data.tables import Table
from espnet_prune.progress import progress
from espnet_prune.report.bootstrap import interval, paired
from espnet_prune.select.layers.dev_data import ids_to_text, splitter
from espnet_prune.select.obs.speech import Speech, own_tokens
from espnet_prune.utils import UserError

SHOWN = 10  # utterances whose text changed


class Hearing:
    """Utterances that judge.

    Args:
        entries: (path, name, type) of speech.
        config: Content of config.yaml.
        text: Transcripts by utterance; empty where there are none.
        device: Where models run.

    Attributes:
        entries: Those of speech.
        texts: Transcripts, cleaned as the model's training had them.
    """

    def __init__(
        self, entries: Entries, config: Mapping[str, Any], text: Table, device: Any
    ) -> None:
        self.entries = [entry for entry in entries if entry[1] == "speech"]
        self.speech, self.config = Speech(self.entries, config, labels=False), config
        clean = text_cleaner(config.get("cleaner"))
        self.texts = {key: clean(words) for key, words in text.items()}
        self.device = torch.device(device)
        try:
            self.to_text = ids_to_text(config)
        except UserError:  # other kinds of tokens are compared as they are
            self.to_text = lambda ids: " ".join(config["token_list"][i] for i in ids)

    def __len__(self) -> int:
        return len(self.speech)

    @torch.no_grad()
    def hear(self, model: nn.Module, what: str) -> Table:
        """Return the text of every utterance.

        Args:
            model: A model of ESPnet.
            what: Which it is, for the progress.
        """
        model, heard = model.to(self.device).eval(), {}
        bar = progress(len(self), f"heard by the {what} model", "utterances")
        for utterance in self.speech:
            tokens: List[int] = []
            with contextlib.suppress(*TOO_SHORT):
                tokens = own_tokens(model, utterance.to(self.device))
            heard[utterance.name] = self.to_text(tokens)
            bar.update()
        bar.close()
        return heard

    def score(self, heard: Mapping[str, Table]) -> Dict[str, Any]:
        """Return how wrong models are, and how far from the first.

        Args:
            heard: Texts by the name of the model; the dense one comes first.

        Returns:
            {measure: "wer", or "cer" where no text has a blank; utterances; errors:
            against the transcripts, where there are any, by model; agreement: errors
            against the first, by other model}. Errors are {rate, interval} in percent,
            with `difference` and its interval to the first.
        """
        dense, *others = heard
        known = {**heard[dense], **self.texts}
        measure = "wer" if any(len(t.split()) > 1 for t in known.values()) else "cer"
        split = splitter(measure, self.config)
        result: Dict[str, Any] = {"measure": measure, "utterances": len(heard[dense])}
        if self.texts:
            result["errors"] = _errors(split, self.texts, heard)
        some = {name: heard[name] for name in others}
        result["agreement"] = _errors(split, heard[dense], some, False)
        return result

    def changed(self, dense: Table, pruned: Table) -> List[Dict[str, str]]:
        """Return utterances that two models hear differently, evenly spaced."""
        names = [key for key in dense if dense[key] != pruned[key]]
        rows = []
        for i in range(min(SHOWN, len(names))):
            name = names[i * len(names) // min(SHOWN, len(names))]
            row = {"utterance": name, "before": dense[name], "after": pruned[name]}
            if name in self.texts:
                row["transcript"] = self.texts[name]
            rows.append(row)
        return rows


def _errors(
    split: Callable[[str], List[str]],
    refs: Table,
    heard: Mapping[str, Table],
    differences: bool = True,
) -> Dict[str, Any]:
    """Return {name: {rate, interval, and against: the difference to the first}}."""
    from rapidfuzz.distance import Levenshtein

    found: Dict[str, Any] = {}
    words = {key: split(text) for key, text in refs.items()}
    sizes = [len(some) for some in words.values()]
    first: Optional[List[int]] = None
    for name, texts in heard.items():
        wrong = [Levenshtein.distance(split(texts[k]), words[k]) for k in words]
        rate = 100.0 * sum(wrong) / max(sum(sizes), 1)
        found[name] = {"rate": rate, "interval": list(interval(wrong, sizes))}
        if first is not None and differences:
            found[name]["against"] = paired(wrong, first, sizes)
        first = first or wrong
    return found

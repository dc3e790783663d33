# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Texts of given audio: by deployed files and by ESPnet, utterance by utterance."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from espnet_prune.compat import TooShortUttError
from espnet_prune.data.calibration import find_audio
from espnet_prune.data.speech import load_utterance, open_speech
from espnet_prune.deploy.proof.compare import NotProven
from espnet_prune.measure.recognition import Recogniser
from espnet_prune.progress import progress
from espnet_prune.runtime.recognizer import Recognizer

WHOLE = 1e6  # seconds of a piece: no utterance is cut
Report = Dict[str, Any]


class Heard:
    """A model in ESPnet, as it is decoded there.

    Args:
        source: Where it is, see `source_of`.
        package: Content of config.json, for the options of the search.
    """

    def __init__(self, source: Mapping[str, Any], package: Mapping[str, Any]) -> None:
        files = source["config"], source["checkpoint"]
        self.all = Recogniser(*files, package["decoding"])
        self.tokens = list(self.all.model.token_list)

    def ctc_greedy(self, speech: Any) -> List[str]:
        """Return the tokens on the best path of CTC."""
        return [self.tokens[i] for i in self.all.greedy(speech)]

    def beam(self, speech: Any) -> List[str]:
        """Return the tokens of the beam search."""
        found = self.all.heard(speech)
        # with intermediate CTC it comes in a pair with what that says
        best = (found[0] if isinstance(found, tuple) else found)[0]
        return list(best[1])


def compare_texts(
    out: Path,
    source: Mapping[str, Any],
    config: Mapping[str, Any],
    package: Mapping[str, Any],
    what: str,
) -> Report:
    """Compare what is heard in audio by files in fp32 and by ESPnet.

    Args:
        out: The deployed directory.
        source: Where its model is, see `source_of`.
        config: Content of that model's config.yaml.
        package: Content of config.json.
        what: The audio, see `find_audio`.

    Returns:
        {"audio": in words, "utterances", "alike": how many by search, "others": those
        that differ}.

    Raises:
        UserError: There is no such audio.
    """
    heard = Heard(source, package)
    searches = {"ctc_greedy": heard.ctc_greedy} if package["ctc"] else {}
    if package["decoder"]:
        searches[package["decoder"]] = heard.beam
    ours = {name: _opened(out, name) for name in searches}
    with tempfile.TemporaryDirectory() as scratch:
        audio = find_audio(what, config, Path(scratch))
        entries = audio.write(Path(scratch))[:1]  # without the transcripts
        data, _ = open_speech(entries, config, labels=False)
        alike = dict.fromkeys(searches, 0)
        others: List[Report] = []
        bar = progress(len(list(data)), "heard by both", "utterances")
        for key in data:
            speech = load_utterance(data, key)[1]["speech"]
            for name, search in searches.items():
                wanted: Optional[List[str]] = None
                with contextlib.suppress(TooShortUttError):
                    wanted = search(speech)
                got = _tokens(ours[name], speech)
                alike[name] += wanted == got
                if wanted != got:
                    row = {"utterance": key, "search": name}
                    others.append({**row, "espnet": wanted, "onnx": got})
            bar.update()
        bar.close()
        count = len(list(data))
    return {"audio": str(what), "utterances": count, "alike": alike, "others": others}


def _opened(out: Path, decoding: str) -> Recognizer:
    return Recognizer(out, precision="fp32", decoding=decoding, piece=WHOLE, overlap=0)


def _tokens(recognizer: Recognizer, speech: Any) -> Optional[List[str]]:
    """Return the tokens of an utterance, None where it is too short."""
    if len(speech) < recognizer.config.min_samples:
        return None
    return recognizer(speech).tokens


def require_alike(found: Report) -> None:
    """Stop unless all texts are the same.

    Raises:
        NotProven: One that differs.
    """
    if not found["others"]:
        return
    first = found["others"][0]
    raise NotProven(
        f"{len(found['others'])} of {found['utterances']} utterances of "
        f"{found['audio']} are heard differently, e.g. {first['utterance']} by "
        f"{first['search']}: {' '.join(first['onnx'] or ['nothing'])} instead of "
        f"{' '.join(first['espnet'] or ['nothing'])}"
    )

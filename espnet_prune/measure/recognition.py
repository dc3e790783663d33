# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Time of whole recognitions, and of each part of the model in them, side by side.

An utterance is recognised as ESPnet's decoding would, by beam search, and once more by
the best path of CTC. The models take turns, as in `measure.latency`.
"""

import collections
import contextlib
import functools
import inspect
import time
from typing import (
    Any,
    Callable,
    Counter,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
)

import torch
from torch import nn

from espnet_prune.data.speech import (
    Entries,
    entries_of,
    load_utterance,
    open_speech,
)
from espnet_prune.decoders.cached import cache_decoders
from espnet_prune.families import family_of, stacks_of
from espnet_prune.foreign import told
from espnet_prune.measure.duration import SECONDS, frames_of, rate_of
from espnet_prune.measure.latency import in_turns
from espnet_prune.models import encoded, read_model_config
from espnet_prune.strict import strict_loading
from espnet_prune.structure import FRONT_SSL
from espnet_prune.tasks import task_of
from espnet_prune.utils import PathLike, UserError

BEAM, CTC = "beam", "ctc"  # whole recognitions
CACHED = "cached_decoding"  # option of ours, see `deploy.decoding`
LOADED = 32  # utterances of which one is taken
# what a search calls
_CALLS = ("forward", "score", "batch_score", "batch_score_partially_AR")
# what says where and on what ESPnet decodes, and other models, which may be elsewhere
_LEFT = ("device", "batch_size", "lm_", "ngram_", "word_lm_")


def speech_of(
    config: Mapping[str, Any], entries: Optional[Entries] = None
) -> Tuple[Any, str]:
    """Return speech to be recognised, and in words what it is.

    It is the longest of some utterances of the development data, of 10 s at most; where
    they are not here, 10 s of noise.

    Args:
        config: Content of config.yaml.
        entries: (path, name, type) of other data to take.

    Returns:
        An array (samples,) or (frames, features), and e.g. "8.2 s of speech (dev7)".
    """
    entries = entries or entries_of(config, "valid")
    entries = [entry for entry in entries if entry[1] == "speech"]
    features = config.get("frontend", "default") is None

    def seconds(array: Any) -> float:
        whole = features and array.ndim > 1
        return len(array) / (frames_of(config, 1) if whole else rate_of(config))

    found = []
    with contextlib.suppress(UserError, OSError):
        data = open_speech(entries[:1], config, labels=False)[0] if entries else ()
        for key in list(data)[:: 1 + len(list(data)) // LOADED]:
            found.append((load_utterance(data, key)[1]["speech"], key))
    fit = [pair for pair in found if seconds(pair[0]) <= SECONDS] or found[:1]
    if fit:
        speech, key = max(fit, key=lambda pair: len(pair[0]))
        return speech, f"{seconds(speech):.3g} s of speech ({key})"
    shape = [int(SECONDS * rate_of(config))]
    if features and (config.get("input_size") or 1) > 1:
        shape = [frames_of(config), config["input_size"]]
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return 0.1 * noise.numpy(), f"{SECONDS:g} s of noise"


class Recogniser:
    """A model as ESPnet decodes with it.

    Args:
        config: config.yaml.
        model_file: Checkpoint.
        options: Of ESPnet's decoding, such as beam_size and ctc_weight; what says where
            it runs, and language models, are left out. Attention decoders keep their
            keys and values, as in our decoding, unless cached_decoding is false.

    Raises:
        UserError: ESPnet decodes nothing with such a model, or cannot begin to.
    """

    def __init__(
        self, config: PathLike, model_file: PathLike, options: Mapping[str, Any]
    ) -> None:
        conf = read_model_config(config)
        self.task = task_of(conf, config)
        if conf.get("decoder") is None:
            options = {"ctc_weight": 1.0, **options}
        kind = getattr(self.task.decoding_module(), self.task.decoder)
        known = inspect.signature(kind.__init__).parameters
        self.options = {
            key: value
            for key, value in options.items()
            if key in known and value is not None and not key.startswith(_LEFT)
        }
        prefix, files = self.task.prefix, (str(config), str(model_file))
        names = (f"{prefix}_train_config", f"{prefix}_model_file")
        with told(f"{config}: ESPnet cannot begin to decode", "look at what it says"):
            with strict_loading():
                self.heard = kind(**dict(zip(names, files)), **self.options)
        self.model = getattr(self.heard, f"{self.task.prefix_in(self.heard)}_model")
        if options.get(CACHED, True):
            cache_decoders(self.model)

    def beam(self, speech: Any) -> Dict[str, float]:
        """Recognise speech; return the milliseconds of every part of the model."""
        with clocked(self.model) as spent:
            self.heard(speech)
        return dict(spent)

    def greedy(self, speech: Any) -> List[int]:
        """Return the tokens on the best path of CTC."""
        batch = torch.as_tensor(speech)[None]
        lengths = torch.tensor([batch.shape[1]])
        hidden, _ = encoded(self.model, {"speech": batch, "speech_lengths": lengths})
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        tokens = torch.unique_consecutive(self.model.ctc.argmax(hidden)[0])
        return tokens[tokens != getattr(self.model, "blank_id", 0)].tolist()


@contextlib.contextmanager
def clocked(model: nn.Module) -> Iterator[Dict[str, float]]:
    """Add up the milliseconds that parts of a model take while it runs.

    Args:
        model: A model of ESPnet.

    Yields:
        The times by part: front, encoder (with it), decoder, joint, front_ssl.
    """
    spent: Counter[str] = collections.Counter()
    running = set()

    def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def run(*args: Any, **kwargs: Any) -> Any:
            if part in running:  # one way to score may call another
                return call(*args, **kwargs)
            running.add(part)
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                spent[part] += 1000.0 * (time.perf_counter() - start)
                running.discard(part)

        return run

    pieces = [("encoder", model.encoder)]
    pieces += [("decoder", getattr(model, "decoder", None))]
    pieces += [("joint", getattr(model, "joint_network", None))]
    front = getattr(model, "frontend", None)
    known = isinstance(front, nn.Module) and family_of(front) is not None
    pieces += [(FRONT_SSL, front)] * known
    family = stacks_of(model.encoder)["encoder"][1]
    for path in family.parts(model.encoder).front_paths:
        pieces.append(("front", model.encoder.get_submodule(path)))
    before: List[Tuple[nn.Module, str, Any]] = []
    try:
        for part, module in pieces:
            for name in _CALLS:
                if hasattr(module, name):
                    before.append((module, name, vars(module).get(name)))
                    setattr(module, name, timed(part, getattr(module, name)))
        yield spent
    finally:
        for module, name, own in reversed(before):
            vars(module).pop(name)
            if own is not None:
                setattr(module, name, own)


def measure_recognition(
    models: Mapping[str, Tuple[PathLike, PathLike]],
    options: Mapping[str, Any],
    runs: int = 3,
    limit: float = 10.0,
    entries: Optional[Entries] = None,
) -> Dict[str, Any]:
    """Time recognitions of one utterance by several models, in turns, on one thread.

    Args:
        models: config.yaml and checkpoint by name; the first says what is recognised.
        options: Of the beam search, see `Recogniser`.
        runs: How often at most.
        limit: Seconds after which no further turn begins.
        entries: See `speech_of`.

    Returns:
        {speech, options, runs, times}: times are {name: {part: ms}}, of the fastest
        recognition: front, encoder, decoder, joint, others for the rest of it, and beam
        and ctc for whole ones.

    Raises:
        UserError: See `Recogniser`; or a model has no CTC, or cannot be heard.
    """
    config = read_model_config(next(iter(models.values()))[0])
    speech, about = speech_of(config, entries)
    heard = {name: Recogniser(*files, options) for name, files in models.items()}
    calls: Dict[str, Callable[[], Any]] = {}
    for name, one in heard.items():
        calls[f"{BEAM} {name}"] = functools.partial(one.beam, speech)
        if getattr(one.model, "ctc", None) is not None:
            calls[f"{CTC} {name}"] = functools.partial(one.greedy, speech)
    with told(f"{about}: ESPnet cannot decode it", "look at what it says"):
        found = in_turns(calls, runs, limit=limit)
    times = {}
    for name in models:
        whole, parts = min(found[f"{BEAM} {name}"], key=lambda turn: turn[0])
        inside = sum(ms for part, ms in parts.items() if part != "front")
        times[name] = {**parts, "others": whole - inside, BEAM: whole}
        if f"{CTC} {name}" in found:
            times[name][CTC] = min(ms for ms, _ in found[f"{CTC} {name}"])
    used = next(iter(heard.values())).options
    done = len(found[f"{BEAM} {next(iter(models))}"])
    return {"speech": about, "options": used, "runs": done, "times": times}

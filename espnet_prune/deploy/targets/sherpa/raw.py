# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The slot `moonshine_v2`: samples as they are, and CTC in the graph.

It is made for an encoder and a decoder that says one token after the other. Here the
encoder says all tokens of CTC's best path, and the decoder hands on one at a time. No
other slot leaves the front end to the model, so that features are those of ESPnet.
"""

import base64
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import onnx

from espnet_prune.deploy.targets.graphs import graph, joined, save
from espnet_prune.deploy.targets.refusals import refusal
from espnet_prune.deploy.targets.sherpa.slot import RATE, RESAMPLED, SherpaSlot
from espnet_prune.deploy.targets.symbols import SPACE
from espnet_prune.deploy.targets.target import BEST_PATH, ONE_LANGUAGE
from espnet_prune.runtime.package import Package
from espnet_prune.runtime.text import TextMaker
from espnet_prune.utils import atomic_write

FIRST = 3  # id of the first token; 1 begins and 2 ends what the decoder says
END = 2

_BEFORE = """
audio_to_speech (float[1, S] audio) => (float[1, S] speech, int64[1] lengths) {
    speech = Identity(audio)
    sizes = Shape(audio)
    second = Constant<value_ints = [1]>()
    lengths = Gather(sizes, second)
}
"""
# tokens (1, L, 1), then as many ends that the slot's limit, 0.36 of all, cuts none
_AFTER = """
path_to_tokens (float[1, T, V] log_probs, int64[1] out_lengths)
    => (float[1, L, 1] tokens)
    <int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] none = {{-1}},
     int64 blank = {{{blank}}}, int64 first = {{{first}}}, int64[1] three = {{3}},
     int64[3] row = {{1, -1, 1}}>
{{
    within = Slice(log_probs, zero, out_lengths, one)
    best = ArgMax<axis = 2, keepdims = 0>(within)
    path = Squeeze(best, zero)
    earlier = Slice(path, zero, none)
    before = Concat<axis = 0>(none, earlier)
    repeated = Equal(path, before)
    empty = Equal(path, blank)
    dropped = Or(repeated, empty)
    kept = Not(dropped)
    said = Compress(path, kept)
    named = Add(said, first)
    count = Shape(named)
    thrice = Mul(count, three)
    room = Sub(thrice, count)
    padding = Add(room, three)
    ends = ConstantOfShape<value = int64[1] {{{end}}}>(padding)
    all = Concat<axis = 0>(named, ends)
    numbers = Cast<to = 1>(all)
    tokens = Reshape(numbers, row)
}}
"""
# the length of a cache tells which token is next
_DECODER = """
one_token (int64[1, 1] input_ids, float[1, L, 1] tokens,
    float[1, 1, K, 1] key_values_1,
    float[1, 1, K, 1] key_values_2,
    float[1, 1, M, 1] key_values_3,
    float[1, 1, M, 1] key_values_4,
    bool[1] use_cache_branch)
    => (float[1, 1, {size}] logits, float[1, 1, K1, 1] new_key,
        float[1, 1, K1, 1] new_value, float[1, 1, 2, 1] encoder_key,
        float[1, 1, 2, 1] encoder_value)
    <int64[1] third = {{2}}, int64 size = {{{size}}}, float[2] off_on = {{0, 1}},
     float[1, 1, 1, 1] more = {{1}}, float[1, 1, 2, 1] two = {{1, 1}}>
{{
    sizes = Shape(key_values_1)
    step = Gather(sizes, third)
    token = Gather<axis = 1>(tokens, step)
    number = Cast<to = 7>(token)
    row = Squeeze(number, third)
    logits = OneHot<axis = -1>(row, size, off_on)
    new_key = Concat<axis = 2>(key_values_1, more)
    new_value = Concat<axis = 2>(key_values_2, more)
    encoder_key = Identity(two)
    encoder_value = Identity(two)
}}
"""


class Raw(SherpaSlot):
    """Samples in, tokens of CTC out."""

    name = "moonshine_v2"
    files = {
        "encoder": "encoder.onnx",
        "decoder": "decoder.onnx",
        "tokens": "tokens.txt",
    }
    limits = (
        BEST_PATH,
        "one utterance at a time",
        "no times of tokens",
        ONE_LANGUAGE,
        RESAMPLED,
        "a use of this slot that sherpa-onnx does not describe",
    )
    usage = """```python
import sherpa_onnx

recognizer = sherpa_onnx.OfflineRecognizer.from_moonshine_v2(
    encoder="{folder}/encoder.onnx",
    decoder="{folder}/decoder.onnx",
    tokens="{folder}/tokens.txt",
)
stream = recognizer.create_stream()
stream.accept_waveform(16000, samples)  # float32 (S,), from -1 to 1
recognizer.decode_stream(stream)
print(stream.result.text)
```"""

    def unfit(self, package: Package, facts: Mapping[str, Any]) -> Optional[str]:
        """Return why it cannot take a model; see `Slot`."""
        config = package.config
        reason = refusal(config, RATE, samples=True)
        if reason is not None:
            return reason
        bad = [token for token in package.tokens if token.startswith(SPACE)]
        if bad and config.token_type in ("char", "phn"):
            return (
                f"makes a space of {SPACE}, with which token '{bad[0]}' of type "
                f"{config.token_type} begins; tokens of type bpe would do"
            )
        return None

    def write(self, package: Package, model: Path, folder: Path) -> None:
        """Write encoder.onnx, decoder.onnx and tokens.txt; see `Slot`."""
        loaded = onnx.load(str(model))
        after = _AFTER.format(blank=package.config.blank, first=FIRST, end=END)
        save(joined(loaded, _BEFORE, after), folder / "encoder.onnx")
        decoder = _DECODER.format(size=FIRST + len(package.tokens))
        save(graph(decoder, loaded), folder / "decoder.onnx")
        with atomic_write(folder / "tokens.txt") as stream:
            for number, text in said(package).items():
                coded = base64.b64encode(text).decode()
                stream.write(f"{coded} {FIRST + number}\n")


def said(package: Package) -> Dict[int, bytes]:
    """Return what each token adds to a text, without those that add nothing.

    A piece that is one byte adds that byte; what precedes a text is dropped by
    sherpa-onnx, such as the space before its first word.
    """
    text = TextMaker(package)
    tokens = package.tokens
    # behind any token that has a text by itself
    start = next(i for i, token in enumerate(tokens) if token.isalnum())
    begin = text([start])
    found = {}
    for number, token in enumerate(tokens):
        piece = text.pieces and text.pieces.piece_to_id(token)
        if piece and text.pieces.is_byte(piece):
            found[number] = bytes([int(token[3:5], 16)])
        else:
            found[number] = text([start, number])[len(begin) :].encode()
    return {number: row for number, row in found.items() if row}

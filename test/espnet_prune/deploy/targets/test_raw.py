# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""sherpa-onnx hears in the slot that takes samples what our runtime hears."""

import numpy as np
import onnx
import pytest
import soundfile

from espnet_prune.deploy.onnx.describe import write_tokens
from espnet_prune.deploy.onnx.package import export_model
from espnet_prune.deploy.targets.compare import compare
from espnet_prune.deploy.targets.listen import heard
from espnet_prune.deploy.targets.sherpa.raw import Raw
from espnet_prune.deploy.targets.target import Part
from espnet_prune.models import load_model
from espnet_prune.runtime.package import read_package
from test.espnet_prune.deploy.targets.spelled import spoken, write_model
from test.espnet_prune.deploy.test_standalone import SAMPLE

CHARACTERS = ["<blank>", "<unk>", "<space>", *"ABC,.'é字▁", "<hm>", "<sos/eos>"]
WORDS = ["<blank>", "<unk>", "hello", "wörld", "it's", "▁", "世界", "<sos/eos>"]


def bpe(folder):
    """Train pieces, some of them bytes; returns tokens as ESPnet has them."""
    import sentencepiece

    lines = ["the cat sat on the mat", "a cat and a dog", "it's on, and on."]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 20),
        model_prefix=str(folder / "bpe"),
        vocab_size=300,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "bpe.model"))
    names = [pieces.id_to_piece(i) for i in range(len(pieces))]
    wanted = [name for i, name in enumerate(names) if not pieces.is_byte(i)]
    some = ["<0xC3>", "<0xA9>"]  # é
    return ["<blank>", "<unk>", *wanted[3:], *some, "<sos/eos>"]


@pytest.fixture(params=["char", "word", "phn", "bpe"])
def model(request, tmp_path):
    """A deployed model with tokens of each type."""
    out, kind = tmp_path / "out", request.param
    out.mkdir()
    tokens = {"word": WORDS, "phn": ["<blank>", "HH", "AH0", "L", "OW1"]}.get(kind)
    tokens = bpe(out) if kind == "bpe" else tokens or CHARACTERS
    if kind == "char":
        tokens = [token for token in tokens if token != "▁"]
    more = {"bpe_model": "bpe.model"} if kind == "bpe" else {}
    return write_model(out, tokens, token_type=kind, **more)


def written(out, precision="fp32"):
    """Write what sherpa-onnx takes; returns its directory."""
    package, folder = read_package(out), out.parent / "sherpa"
    assert Raw().unfit(package, {}) is None
    folder.mkdir()
    Raw().write(package, package.file("model", precision), folder)
    return folder


def paths(size, bytes_of=()):
    """Yield paths of many kinds over tokens; bytes stay together."""
    yield [0] * 9
    yield [1]
    yield [2, 2, 0, 2, 1, 1, 3, 2]
    yield [*range(size), 0, *range(size)]
    draw = np.random.RandomState(0)
    free = [i for i in range(size) if i not in bytes_of]
    for length in (3, 8, 21, 55):
        for _ in range(8):
            yield draw.choice(free, length).tolist()


@pytest.mark.runtime("sherpa-onnx")
def test_texts_are_ours_in_all_types_of_tokens(model):
    folder, tokens = written(model), read_package(model).tokens
    pairs = [i for i, token in enumerate(tokens) if token.startswith("<0x")]
    speech = {str(i): spoken(p) for i, p in enumerate(paths(len(tokens), pairs))}
    # nothing bounds how much is said: a token in each of 4,000 frames
    speech["long"] = spoken([2, 3] * 2000)
    found = compare(Raw(), folder, model, Part("", "fp32"), speech)
    assert found["alike"] == found["of"] == len(speech) == 37


@pytest.mark.runtime("sherpa-onnx")
def test_what_is_too_short_or_empty_says_nothing(tmp_path):
    folder = written(write_model(tmp_path / "out", CHARACTERS[:5]))
    audio = [spoken([3])[:5], spoken([0]), spoken([2, 3, 2])]
    assert heard(Raw(), folder, Part("", "fp32"), audio) == ["", "", "A "]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The repository's own trained model, deployed."""
    out = tmp_path_factory.mktemp("trained") / "out"
    files = SAMPLE / "model/config.yaml", SAMPLE / "model/valid.acc.ave.pth"
    model, config = load_model(*files)
    export_model(model, config, out)
    write_tokens(config, out)
    return out


@pytest.mark.runtime("sherpa-onnx")
def test_a_trained_model(trained):
    folder = written(trained)
    audio = sorted((SAMPLE / "audio").iterdir())
    speech = {p.stem: soundfile.read(p, dtype="float32")[0] for p in audio}
    found = compare(Raw(), folder, trained, Part("", "fp32"), speech)
    assert found["alike"] == found["of"] == 12 and not found["differ"]
    # what only other decoders need is not in the file
    names = [value.name for value in onnx.load(folder / "encoder.onnx").graph.output]
    assert names == ["tokens"]


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"ctc": False}, "decodes by CTC, which the model does not have; train it wit"),
        ({"input": "feats"}, "takes samples, and the model takes features that were"),
        ({"sample_rate": 8000}, "takes 16000 Hz, and the model 8000 Hz; one of 16000"),
        ({}, "makes a space of ▁, with which token '▁' of type char begins; tokens of"),
        ({"token_type": "word"}, None),
    ],
)
def test_what_it_cannot_take(tmp_path, changes, told):
    package = read_package(write_model(tmp_path, CHARACTERS, **changes))
    found = Raw().unfit(package, {})
    assert found is None if told is None else found.startswith(told)

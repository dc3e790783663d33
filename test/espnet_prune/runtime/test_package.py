# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is wrong with a deployed model on disk is one sentence."""

import json

import pytest

from espnet_prune.runtime import UserError
from espnet_prune.runtime.package import read_package
from test.espnet_prune.runtime.tone_model import TOKENS, config, write_model


def test_a_model_is_read(tmp_path):
    found = read_package(write_model(tmp_path))
    assert found.config.frame_ms == 40 and found.tokens == TOKENS
    assert found.file("model") == tmp_path / "model.onnx"


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("config.json", None, "is no deployed model: it has no config.json"),
        ("config.json", '{"format": 1,', "config.json: not valid JSON"),
        ("config.json", "[]", "is of format None, but this runtime reads format 1"),
        ("config.json", {"format": 2}, "is of format 2, but this runtime reads"),
        ("config.json", {"sampel_rate": 8000}, "unknown key 'sampel_rate' (did you"),
        ("config.json", {"frame_ms": "40"}, "frame_ms is '40', must be a number"),
        ("config.json", {"decoder": "rnn"}, "decoder is 'rnn', must be one of"),
        ("config.json", {"files": {}}, "files: a part, or its fp32, is missing"),
        ("config.json", {"files": {"modle": {}}}, "unknown key 'modle' (did you"),
        ("model.onnx", None, "model.onnx is missing, which config.json names; copy"),
        ("tokens.txt", None, "tokens.txt is missing; copy the directory again"),
        ("tokens.txt", "<blank> 0\nA\n", "line 2 is 'A', must be a token and its id"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, name, content, told):
    folder = write_model(tmp_path / "out")
    if isinstance(content, dict):
        content = json.dumps({**config(), **content})
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(UserError) as error:
        read_package(folder).file("model")
    assert told in str(error.value) and str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="nowhere is no deployed model"):
        read_package(tmp_path / "nowhere")


def test_tokens_may_be_spaces_or_hold_them(tmp_path):
    (write_model(tmp_path) / "tokens.txt").write_text(
        "<blank> 0\n  1\na b 2\n\u2028 3\n"
    )
    assert read_package(tmp_path).tokens == ["<blank>", " ", "a b", "\u2028"]


def test_sizes_and_depths_are_directories_that_share_tokens(tmp_path):
    write_model(tmp_path, sizes={"50": "size_50"}, depths={"6": "depth_6"})
    for name in ("size_50", "depth_6"):
        (write_model(tmp_path / name) / "tokens.txt").unlink()
    assert read_package(tmp_path, size=50).folder.name == "size_50"
    found = read_package(tmp_path, depth="6")
    assert found.folder.name == "depth_6" and found.tokens == TOKENS
    with pytest.raises(UserError, match="has no size 30; give one of 50"):
        read_package(tmp_path, size=30)
    with pytest.raises(UserError, match="has no depth 3; give no depth: it has none"):
        read_package(tmp_path / "size_50", depth=3)
    with pytest.raises(UserError, match="a size or a depth, not both"):
        read_package(tmp_path, size=50, depth=6)


def test_int8_is_taken_where_it_paid(tmp_path):
    files = {
        "model": {"fp32": "model.onnx", "int8": "model.int8.onnx"},
        "decoder": {"fp32": "model.onnx"},
    }
    write_model(tmp_path, files=files, precision="int8")
    (tmp_path / "model.int8.onnx").write_bytes(b"")
    found = read_package(tmp_path)
    assert found.file("model").name == "model.int8.onnx"
    assert found.file("model", "fp32").name == "model.onnx"
    assert found.file("decoder").name == "model.onnx"
    write_model(tmp_path)
    with pytest.raises(UserError, match="no int8 model; precision may be fp32"):
        read_package(tmp_path).file("model", "int8")

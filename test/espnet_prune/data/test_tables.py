# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import argparse

import pytest

from espnet_prune.data.tables import file_name, read_table, write_table
from espnet_prune.train import precheck
from espnet_prune.utils import UserError


@pytest.mark.parametrize(
    "content, expected",
    [
        ("a x y\nb z\n", {"a": "x y", "b": "z"}),
        ("a\tx y\nb \t z \n", {"a": "x y", "b": "z"}),  # any white space, as in Kaldi
        ("a x\r\nb y\r\n", {"a": "x", "b": "y"}),
        ("\ufeffa x\n", {"a": "x"}),  # a Windows editor's mark
        ("a\n\nb  \n", {"a": "", "b": ""}),
        # nothing but LF ends a line
        ("a x\u0085y\nb x\u2028y\x0cz", {"a": "x\u0085y", "b": "x\u2028y\x0cz"}),
        ("東 \u3000京\n", {"東": "京"}),
    ],
)
def test_one_line_is_a_key_and_the_rest(tmp_path, content, expected):
    path = tmp_path / "text"
    path.write_bytes(content.encode("utf-8"))
    assert read_table(path) == expected
    write_table(path, expected)
    assert read_table(path) == expected


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a x\nb caf\xe9\n", "text: line 2 is not UTF-8"),
        (b"a x\nb y\na z\n", "text: line 3: 'a' is there twice"),
        (b"a x\ry\n", "text: line 1 has a carriage return inside"),
        (b" \n\n", "text: the file is empty"),
    ],
)
def test_bad_tables_are_told_with_file_and_line(tmp_path, content, message):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_table(tmp_path / "text")
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(UserError, match="gone: no such file; run stage 1"):
        read_table(tmp_path / "gone", remedy="run stage 1")


def test_file_names_of_odd_keys(tmp_path):
    assert file_name("sp0.9-u_1") == "sp0.9-u_1"
    odd = ["../../x", "/etc/x", "..", ".", ".x", "a/b", "a_b/", "a b", "é" * 200]
    odd += ["x" * 101, "$(ls)", "-rf", ".../x"]
    names = [file_name(key) for key in odd]
    assert len(set(names)) == len(odd)
    for name in names:
        path = (tmp_path / name).resolve()
        assert path.parent == tmp_path.resolve() and len(name) <= 100
        path.touch()


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Write tables of two utterances; returns the options of a training on them."""
    monkeypatch.chdir(tmp_path)
    for name, line in (("wav.scp", "a.wav"), ("text", "A B"), ("shape", "400")):
        (tmp_path / name).write_text(f"u1 {line}\nu2 {line}\n")
    (tmp_path / "a.wav").touch()
    entries = [("wav.scp", "speech", "sound"), ("text", "text", "text")]
    args = argparse.Namespace(collect_stats=False, distill_conf=None)
    args.batch_type, args.valid_batch_type = "folded", None
    args.iterator_type = "sequence"
    for part in ("train", "valid"):
        setattr(args, f"{part}_data_path_and_name_and_type", entries)
        setattr(args, f"{part}_shape_file", ["shape"])
    precheck.check_data(args)
    return args


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("text", "u2 A\n", "^text: 1 of the 2 utterances in shape .* 'u1'; collect"),
        ("wav.scp", "u1 a.wav\n", "^wav.scp: 1 of the 2 .* 'u2'"),
        ("text", "u1 A\nu2 A\nu1 B\n", "text: line 3: 'u1' is there twice"),
        ("text", "\ufeffu1 A\nu2 A\n", "text: begins with a byte order mark"),
        ("wav.scp", "u1 cat a.wav |\nu2 a.wav\n", "wav.scp: 'u1' is a pipe"),
        ("wav.scp", "u1 a.wav:8\nu2 a.wav:9\n", "'u1' is in an ark.*kaldi_ark"),
        ("shape", "u1 400\nu1 400\n", "shape: line 2: 'u1' is there twice"),
    ],
)
def test_what_a_training_could_not_read(data, tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        precheck.check_data(data)


def test_a_table_may_have_more_utterances_than_the_shapes(data, tmp_path):
    (tmp_path / "text").write_text("u0 A\nu1\tA\nu2 A\n")
    precheck.check_data(data)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\xef\xbb\xbf<blank>\nA\n", "token_list .*begins with a byte order mark"),
        (b"<blank>\n\xe9\n", "tokens.txt: line 2 is not UTF-8"),
    ],
)
def test_a_token_list_that_espnet_would_misread(tmp_path, content, message):
    path = tmp_path / "tokens.txt"
    path.write_bytes(content)
    args = argparse.Namespace(token_list=str(path), bpemodel=None, token_type="char")
    for name in ("normalize", "teacher_model", "teacher_config"):
        setattr(args, name, None)
    args.non_linguistic_symbols, args.init_param = None, []
    with pytest.raises(UserError, match=message):
        precheck.check_files(args)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import argparse

import pytest

from espnet_prune.symbols import read_symbols
from espnet_prune.train import precheck
from espnet_prune.utils import UserError

CLASH = "email_query\nalarm_set\nemail_querycontact\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "there is no symbol in it"),
        ("a_b\n\n", "'' is not one word"),
        ("a_b\nc d\n", "'c d' is not one word"),
        ("a_b\nc_d\na_b\n", "'a_b' is there twice"),
        ("\ufeffa_b\n", "begins with a byte order mark"),
        (CLASH, "'email_querycontact' begins with 'email_query'"),
    ],
)
def test_bad_symbols(tmp_path, text, message):
    path = tmp_path / "intents.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        read_symbols(path, "char")
    assert str(path) in str(error.value)


def test_symbols_are_utf8_and_one_on_each_line(tmp_path):
    path = tmp_path / "intents.txt"
    path.write_bytes(b"a_b\ncaf\xe9\n")
    with pytest.raises(UserError, match="intents.txt: line 2 is not UTF-8"):
        read_symbols(path, "word")
    path.write_bytes("a_b\r\n<né>\n".encode())
    assert read_symbols(path, "word") == ["a_b", "<né>"]


def test_only_characters_mix_up_a_common_beginning(tmp_path):
    path = tmp_path / "intents.txt"
    path.write_text(CLASH)
    for token_type in ("bpe", "word"):
        assert read_symbols(path, token_type) == CLASH.split()


def test_training_wants_the_file(tmp_path):
    """ESPnet would go on without it, and spell the intents."""
    args = argparse.Namespace(
        token_list=["a"],
        token_type="char",
        bpemodel=None,
        normalize=None,
        teacher_model=None,
        teacher_config=None,
        init_param=[],
        non_linguistic_symbols=str(tmp_path / "intents.txt"),
    )
    with pytest.raises(UserError, match="where the model was trained"):
        precheck.check_files(args)
    (tmp_path / "intents.txt").write_text("a_b\n")
    precheck.check_files(args)

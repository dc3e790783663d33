# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A model is used with its own files, and one order says which checkpoint it is."""

from pathlib import Path

import pytest

from espnet_prune.model_files import find_checkpoint, own_files
from espnet_prune.utils import UserError

BPE = "data/bpe/bpe.model"
STATS = "exp/stats/feats_stats.npz"


def config(path=BPE):
    return {
        "token_list": ["<blank>", "<unk>", "▁a", "b", "<sos/eos>"],
        "token_type": "bpe",
        "bpemodel": path,
        "normalize_conf": {"stats_file": STATS, "eps": 0.1},
    }


@pytest.fixture
def trees(tmp_path, monkeypatch):
    """Two directories of recipes; the second is the current one."""
    for name in ("theirs", "ours"):
        for path in (BPE, STATS):
            (tmp_path / name / path).parent.mkdir(parents=True)
            (tmp_path / name / path).write_text(f"{path} of {name}")
        (tmp_path / name / "exp/asr_x").mkdir()
    monkeypatch.chdir(tmp_path / "ours")
    return tmp_path


def test_no_file_of_this_directory_shadows_the_models(trees, caplog):
    found = own_files(config(), "../theirs/exp/asr_x/config.yaml")
    assert found["bpemodel"] == str(trees / "theirs" / BPE)
    stats = {"stats_file": str(trees / "theirs" / STATS), "eps": 0.1}
    assert found["normalize_conf"] == stats
    for path in (BPE, STATS):
        assert f"{path} of this directory is another file" in caplog.text


def test_paths_that_are_right_here_stay(trees):
    assert own_files(config(), "exp/asr_x/config.yaml") == config()
    # a link to it, the same content, an absolute path, none, or the directory of
    # experiments on another disk
    for path in (BPE, STATS):
        Path(path).write_text((trees / "theirs" / path).read_text())
    assert own_files(config(), "../theirs/exp/asr_x/config.yaml") == config()
    for path in ("/x/bpe.model", None):
        assert own_files(config(path), "exp/asr_x/config.yaml")["bpemodel"] == path
    (trees / "disk/asr_x").mkdir(parents=True)
    Path("exp/disk").symlink_to(trees / "disk")
    assert own_files(config(), "exp/disk/asr_x/config.yaml") == config()


def test_what_is_only_in_the_models_tree_is_found_there(trees):
    Path(BPE).unlink()
    found = own_files(config(), "../theirs/exp/asr_x/config.yaml")
    assert found["bpemodel"] == str(trees / "theirs" / BPE)
    # through a link to the model, too
    Path("exp/linked").symlink_to(trees / "theirs/exp/asr_x")
    found = own_files(config(), "exp/linked/config.yaml")
    assert found["bpemodel"] == str(trees / "theirs" / BPE)


def test_a_sentencepiece_model_of_here_must_know_the_same_pieces(trees):
    sentencepiece = pytest.importorskip("sentencepiece")
    (trees / "theirs" / BPE).unlink()
    Path("text").write_text("a b\nab ba\n")
    sentencepiece.SentencePieceTrainer.Train(
        input="text", vocab_size=6, model_prefix="m", minloglevel=2
    )
    Path("m.model").rename(BPE)
    model = sentencepiece.SentencePieceProcessor(model_file=BPE)
    pieces = [model.id_to_piece(n) for n in range(3, model.get_piece_size())]
    args = {**config(), "token_list": ["<blank>", "<unk>", *pieces, "<sos/eos>"]}
    path = "../theirs/exp/asr_x/config.yaml"
    assert own_files(args, path)["bpemodel"] == BPE
    args["token_list"].remove(pieces[-1])
    with pytest.raises(UserError, match=f"bpemodel {BPE} .* another one, which has"):
        own_files(args, path)


@pytest.mark.parametrize(
    "names, taken",
    [
        ("valid.acc.ave_5best valid.acc.ave valid.loss.ave model", "valid.acc.ave"),
        ("valid.acc.ave_5best valid.acc.ave_10best 9epoch", "valid.acc.ave_10best"),
        ("valid.acc.best valid.loss.best model", "valid.acc.best"),
        ("model valid.loss.ave", "model"),
        ("54epoch checkpoint", "54epoch"),
    ],
)
def test_the_order_of_checkpoints(names, taken, tmp_path):
    for name in names.split():
        (tmp_path / f"{name}.pth").touch()
    assert find_checkpoint(tmp_path) == tmp_path / f"{taken}.pth"
    last = f"{names.split()[-1]}.pth"
    assert find_checkpoint(tmp_path, last) == tmp_path / last


def test_what_is_there_is_named_where_there_is_no_choice(tmp_path):
    with pytest.raises(UserError, match="has none of valid.acc.ave.pth.*no .pth file"):
        find_checkpoint(tmp_path)
    for name in ("valid.loss.ave.pth", "valid.cer_ctc.ave.pth"):
        (tmp_path / name).touch()
    there = (
        "it has valid.cer_ctc.ave.pth, valid.loss.ave.pth: name one .*--inference_asr"
    )
    with pytest.raises(UserError, match=there):
        find_checkpoint(tmp_path)
    with pytest.raises(UserError, match=f"has no x.pth; {there}"):
        find_checkpoint(tmp_path, "x.pth")

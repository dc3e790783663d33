# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A model of another directory: what is linked, what stands for it, on which data."""

import os
import zipfile
from pathlib import Path

import pytest

from espnet_prune.bin import data_args, link_dense
from espnet_prune.utils import UserError, read_yaml, write_yaml

WAV, SHAPE = "dump/raw/tr/wav.scp", "exp/stats/train/speech_shape"
BPE = "data/bpe/bpe.model"
CONFIG = {
    "token_list": ["<blank>", "<unk>", "a", "<sos/eos>"],
    "token_type": "bpe",
    "bpemodel": BPE,
    "frontend_conf": {"fs": "16k"},
    "multiple_iterator": True,
}
for _part in ("train", "valid"):
    CONFIG[f"{_part}_data_path_and_name_and_type"] = [[WAV, "speech", "sound"]]
    CONFIG[f"{_part}_shape_file"] = [SHAPE]
OWN = "--train_dir dump/raw/train --valid_dir dump/raw/dev --stats_dir exp/stats_x"


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A model with its files; the current directory is another one."""
    exp = tmp_path / "zoo/exp/asr_x"
    exp.mkdir(parents=True)
    write_yaml(CONFIG, exp / "config.yaml")
    (exp / "valid.acc.ave_10best.pth").write_text("weights")
    for path in (WAV, SHAPE, BPE):
        (tmp_path / "zoo" / path).parent.mkdir(parents=True)
        (tmp_path / "zoo" / path).write_text(f"{path} of the model")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return exp


def call(exp, capsys, options="--views exp/dense"):
    link_dense.main([str(exp / "config.yaml"), *options.split()])
    return capsys.readouterr().out.splitlines()


def test_what_is_packed_is_unpacked(zoo, capsys):
    folder = zoo.parents[1]
    names = ("config.yaml", "valid.acc.ave_10best.pth")
    meta = {"yaml_files": {"asr_train_config": f"exp/asr_x/{names[0]}"}}
    meta["files"] = {"asr_model_file": f"exp/asr_x/{names[1]}"}
    write_yaml(meta, folder / "meta.yaml")
    with zipfile.ZipFile("a.zip", "w") as stream:
        for path in (folder / "meta.yaml", *(zoo / name for name in names)):
            stream.write(path, path.relative_to(folder))
    link_dense.main(["a.zip", "--unpack", "exp/dense"])
    (found,) = capsys.readouterr().out.splitlines()
    assert Path(found).match("exp/dense/*/exp/asr_x")
    assert sorted(os.listdir(found)) == sorted(names)


def test_its_directory_here_has_links_and_its_own_is_left_alone(zoo, capsys):
    before = sorted(p.name for p in zoo.iterdir())
    assert call(zoo, capsys) == ["exp/dense/asr_x", "bpe", BPE]
    view = Path("exp/dense/asr_x")
    assert (view / "valid.acc.ave.pth").read_text() == "weights"
    assert read_yaml(view / "config.yaml") == CONFIG
    assert Path(WAV).read_text() == f"{WAV} of the model"  # linked
    assert not Path("exp").is_symlink()  # results go there
    data_args.main([f"{view}/config.yaml"])
    assert f"{WAV},speech,sound --train_shape_file" in capsys.readouterr().out
    assert call(zoo, capsys) == ["exp/dense/asr_x", "bpe", BPE]  # again
    assert sorted(p.name for p in zoo.iterdir()) == before


def test_our_directory_of_experiments_is_no_link(zoo, capsys):
    """Also where the model is not in the one beside its data."""
    shared = zoo.parents[1] / "shared/exp"
    shared.mkdir(parents=True)
    zoo.rename(shared / "asr_x")
    assert call(shared / "asr_x", capsys)[0] == "exp/dense/asr_x"
    assert Path(SHAPE).read_text() == f"{SHAPE} of the model"
    assert Path("exp/stats").is_symlink() and not Path("exp").is_symlink()


def test_directories_that_are_ours_are_used_in_place(zoo, capsys, monkeypatch):
    monkeypatch.chdir(zoo.parents[1])
    assert call(zoo, capsys)[0] == "exp/dense/asr_x"  # the name of its checkpoint
    given = "--views exp/dense --model valid.acc.ave_10best.pth"
    assert call(zoo, capsys, given)[0] == str(zoo)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != zoo)
    assert call(zoo, capsys, given)[0] == "exp/dense/asr_x"  # read-only


def test_data_of_ones_own(zoo, capsys):
    for name in ("train", "dev"):
        Path("dump/raw", name).mkdir(parents=True)
        Path("dump/raw", name, "wav.scp").write_text("u x.flac\n")
    Path("dump/raw/dev/wav.scp").write_text("u data.ark:15\n")
    view, kind, bpemodel = call(zoo, capsys, f"--views exp/dense {OWN}")
    assert (kind, bpemodel) == ("bpe", str(zoo.parents[1] / BPE))
    found = read_yaml(f"{view}/config.yaml")
    assert found["bpemodel"] == bpemodel and found["multiple_iterator"] is False
    assert found["train_data_path_and_name_and_type"] == [
        ["dump/raw/train/wav.scp", "speech", "sound"],
        ["dump/raw/train/text", "text", "text"],
    ]
    assert found["valid_data_path_and_name_and_type"][0][2] == "kaldi_ark"
    shapes = ["speech_shape", "text_shape.bpe"]
    assert found["train_shape_file"] == [f"exp/stats_x/train/{x}" for x in shapes]
    assert Path(view, "tokens.txt").read_text() == "<blank>\n<unk>\na\n<sos/eos>\n"
    assert not Path(WAV).exists()  # nothing is linked
    with pytest.raises(
        UserError, match="run stages 1-10 here and give --own_data true"
    ):
        data_args.main([f"{view}/config.yaml"])
    with pytest.raises(UserError, match="for speech at 16k Hz.*give --fs 16000"):
        call(zoo, capsys, f"--views exp/dense {OWN} --fs 8000")


def test_other_data_under_the_names_of_the_models_are_refused(zoo, capsys):
    Path(WAV).parent.mkdir(parents=True)
    Path(WAV).write_text("another")
    with pytest.raises(UserError, match=f"{WAV} of this directory is another file"):
        call(zoo, capsys)
    Path(WAV).write_text(f"{WAV} of the model")
    assert call(zoo, capsys)[0] == "exp/dense/asr_x"


def test_two_models_of_one_name(zoo, capsys, tmp_path):
    call(zoo, capsys)
    other = tmp_path / "other/exp/asr_x"
    other.mkdir(parents=True)
    for path in zoo.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="exp/dense/asr_x stands for another model"):
        call(other, capsys)
    (tmp_path / "other/data").symlink_to(tmp_path / "zoo/data")
    (tmp_path / "asr_y").symlink_to(other)
    assert call(tmp_path / "asr_y", capsys)[0] == "exp/dense/asr_y"


def test_what_is_no_experiment_becomes_one(tmp_path, monkeypatch, capsys):
    given = Path(__file__).parents[1] / "espnet_prune/hugging_face/hubert"
    monkeypatch.chdir(tmp_path)
    link_dense.main([str(given), "--unpack", "exp/dense/from"])
    made = Path(capsys.readouterr().out.splitlines()[-1])
    assert made.parent == Path("exp/dense/from")
    for _ in range(2):
        view, kind = call(made, capsys)
        assert view == f"exp/dense/{made.name}" and kind == "char"
    assert (Path(view) / "valid.acc.ave.pth").samefile(made / "valid.cer_ctc.ave.pth")

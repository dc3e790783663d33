# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest

from espnet_prune.bin import data_args, decode_jobs
from espnet_prune.utils import UserError, write_yaml


@pytest.fixture
def dump(tmp_path):
    for name, keys in (("dev", "a b c"), ("test", "d e")):
        (tmp_path / "dump" / name).mkdir(parents=True)
        lines = [f"{key} /x/{key}.flac\n" for key in keys.split()]
        (tmp_path / "dump" / name / "wav.scp").write_text("".join(lines))
    return tmp_path


def decode(dump, action, *more):
    options = ["--dumpdir", dump / "dump", "--sets", "dev test"]
    options += ["--output_dir", dump / "out", *more]
    decode_jobs.main([action, *map(str, options)])


def keys(path):
    return [line.split()[0] for line in path.read_text().splitlines()]


def test_split_and_collect(dump, capsys):
    decode(dump, "split", "--nj", "2")
    assert capsys.readouterr().out == "2\n"
    logdir = dump / "out" / "logdir"
    assert keys(logdir / "wav.scp") == list("abcde")
    parts = [keys(logdir / f"keys.{n}.scp") for n in (1, 2)]
    assert sorted(sum(parts, [])) == list("abcde")
    for n, part in enumerate(parts, 1):
        folder = logdir / f"output.{n}" / "1best_recog"
        folder.mkdir(parents=True)
        for kind in ("text", "token", "token_int", "score"):
            lines = [f"{key} {kind} of {key}\n" for key in reversed(part)]
            (folder / kind).write_text("".join(lines))
    decode(dump, "collect")
    assert (dump / "out/dev/text").read_text().splitlines()[1] == "b text of b"
    assert keys(dump / "out/test/score") == ["d", "e"]

    (logdir / "output.2/1best_recog/text").write_text("d x\n")
    with pytest.raises(UserError, match="no text for 1 utterances of dev.*'c'|of test"):
        decode(dump, "collect")


def test_no_more_jobs_than_utterances(dump, capsys):
    decode(dump, "split", "--nj", "9")
    assert capsys.readouterr().out == "5\n"
    decode(dump, "split", "--nj", "9", "--by_set")
    assert capsys.readouterr().out == "2\n"
    logdir = dump / "out" / "logdir"
    assert keys(logdir / "dev.2.scp") == ["b", "c"]
    assert keys(logdir / "test.1.scp") == ["d"]


def test_the_same_utterance_in_two_sets_is_refused(dump):
    (dump / "dump/test/wav.scp").write_text("a /x/a.flac\n")
    with pytest.raises(UserError, match="'a' is in another set"):
        decode(dump, "split")


def test_data_args(tmp_path, capsys):
    shape = tmp_path / "shape"
    shape.write_text("")
    config = {"fold_length": [80000, 150]}
    for part in ("train", "valid"):
        config[f"{part}_data_path_and_name_and_type"] = [
            [str(shape), "speech", "sound"]
        ]
        config[f"{part}_shape_file"] = [str(shape)]
    write_yaml(config, tmp_path / "config.yaml")
    data_args.main([str(tmp_path / "config.yaml")])
    out = capsys.readouterr().out
    assert f"--train_data_path_and_name_and_type {shape},speech,sound" in out
    assert f"--valid_shape_file {shape} --fold_length 80000" in out
    shape.unlink()
    with pytest.raises(UserError, match="shape, which is missing"):
        data_args.main([str(tmp_path / "config.yaml")])

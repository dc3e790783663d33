# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import shlex

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


def test_the_whole_set_is_decoded(dump, capsys):
    """Where training's copy lacks an utterance, and ESPnet keeps the set in org/."""
    (dump / "dump/org/dev").mkdir(parents=True)
    (dump / "dump/org/dev/wav.scp").write_text("a\t/x/a b.flac\nc /c\nz /z\n")
    decode(dump, "split", "--nj", "9")
    assert keys(dump / "out/logdir/wav.scp") == list("aczde")
    decode(dump, "split", "--nj", "1", "--by_set")  # statistics are training's
    assert keys(dump / "out/logdir/dev.1.scp") == list("abc")
    with pytest.raises(UserError, match="no text for 3 utterances of dev"):
        decode(dump, "collect")


def test_the_kind_of_audio_is_that_of_wav_scp(dump, capsys):
    def kind(*more):
        sets = ["--dumpdir", str(dump / "dump"), "--sets", "dev test"]
        decode_jobs.main(["kind", *sets, *more])
        return capsys.readouterr().out.strip()

    config = dump / "config.yaml"
    entry = ["dump/raw/train/wav.scp", "speech", "kaldi_ark"]
    write_yaml({"train_data_path_and_name_and_type": [entry]}, config)
    assert kind() == "sound"
    with pytest.raises(UserError, match="'a' is of type sound, but .*config.yaml"):
        kind("--model_config", str(config))
    (dump / "dump/dev/wav.scp").write_text("a /x/data.ark:12\n")
    with pytest.raises(UserError, match="dev/wav.scp: 'a' is in an ark, .*test.*'d'"):
        kind()
    (dump / "dump/test/wav.scp").write_text("d /x/data.ark:99\n")
    assert kind("--model_config", str(config)) == "kaldi_ark"
    for name in ("dev", "test"):  # a file that is called so
        (dump / f"{name}:1").touch()
        (dump / f"dump/{name}/wav.scp").write_text(f"{name} {dump}/{name}:1\n")
    assert kind() == "sound"


def test_data_args(tmp_path, capsys):
    shape = tmp_path / "a shape"
    shape.write_text("")
    config = {"fold_length": [80000, 150]}
    for part in ("train", "valid"):
        config[f"{part}_data_path_and_name_and_type"] = [
            [str(shape), "speech", "sound"]
        ]
        config[f"{part}_shape_file"] = [str(shape)]
    write_yaml(config, tmp_path / "config.yaml")
    data_args.main([str(tmp_path / "config.yaml")])
    words = shlex.split(capsys.readouterr().out)
    at = words.index("--train_data_path_and_name_and_type")
    assert words[at + 1] == f"{shape},speech,sound"
    at = words.index("--valid_shape_file")
    assert words[at + 1 : at + 4] == [str(shape), "--fold_length", "80000"]
    shape.unlink()
    with pytest.raises(UserError, match="shape, which is missing"):
        data_args.main([str(tmp_path / "config.yaml")])

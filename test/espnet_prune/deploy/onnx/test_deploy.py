# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The command `deploy`: what it writes, and what it refuses before it writes."""

import json

import numpy as np
import pytest
import torch

from espnet_prune.bin.deploy import main
from espnet_prune.bin.prove import main as prove
from espnet_prune.deploy.depth_table import Depth, DepthTable
from espnet_prune.deploy.onnx.package import check_config, checked, export_model
from espnet_prune.deploy.variants import Variant
from espnet_prune.models import build_model, load_model
from espnet_prune.source import find_model
from espnet_prune.utils import UserError, write_yaml
from test.espnet_prune.deep import CONFIG, HYBRID, write_model
from test.espnet_prune.deploy.onnx.test_export import session

pytestmark = pytest.mark.runtime("onnxruntime")

SHORTEST = 960  # seven frames of 160 samples, with a mirrored half window at each end


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A hybrid model with a decoder, on disk."""
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, HYBRID)
    return folder


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """The proof has tests of its own."""
    monkeypatch.setattr("espnet_prune.deploy.proof.signals.LENGTHS", (1,))


def deployed(folder, *words):
    main(["--output_dir", str(folder), "--model", *map(str, words)])
    return json.loads((folder / "config.json").read_text())


def speech(lengths, seed=0):
    """Return utterances with an offset, and a batch with rubbish for padding."""
    random = np.random.RandomState(seed)
    waves = [
        0.1 * random.randn(n).astype("f") + 0.05 + 0.2 * np.sin(0.1 * np.arange(n))
        for n in lengths
    ]
    batch = np.full((len(waves), max(lengths)), np.nan, "f")
    for row, wave in zip(batch, waves):
        row[: len(wave)] = wave
    return batch


def differs(folder, model, lengths):
    """Return the largest relative difference from what ESPnet gives, row by row."""
    batch, worst = speech(lengths), 0.0
    feed = {"speech": batch, "lengths": np.array(lengths)}
    runtime = session(folder / "model.onnx")
    names = [output.name for output in runtime.get_outputs()]
    found = dict(zip(names, runtime.run(None, feed)))
    for i, n in enumerate(lengths):
        with torch.no_grad():
            wave = torch.from_numpy(batch[i : i + 1, :n])
            hidden, count = model.encode(wave, torch.tensor([n]))
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            wanted = {"encoder_out": hidden, "log_probs": model.ctc.log_softmax(hidden)}
        assert found["out_lengths"][i] == count[0]
        for name in wanted.keys() & found.keys():
            right = wanted[name][0].numpy()
            gap = np.abs(found[name][i, : count[0]] - right).max()
            worst = max(worst, gap / np.abs(right).max())
    return worst


@pytest.mark.parametrize("norm", ["utterance_mvn", "global_mvn", None])
def test_raw_speech_gives_what_espnet_gives(norm, tmp_path):
    config = {**HYBRID, "normalize": norm}
    if norm == "global_mvn":
        random = np.random.RandomState(0)
        sums = {"sum": random.randn(20) * 500, "sum_square": 1e4 + random.rand(20)}
        np.savez(tmp_path / "stats.npz", count=100, **sums)
        config["normalize_conf"] = {"stats_file": str(tmp_path / "stats.npz")}
    write_model(tmp_path / "model", config)
    said = deployed(tmp_path / "out", tmp_path / "model")
    model, _ = load_model(tmp_path / "model/config.yaml", tmp_path / "model/model.pth")
    lengths = ([SHORTEST], [SHORTEST + 1], [16000, 15999, 7777, SHORTEST])
    assert said["min_samples"] == SHORTEST
    assert max(differs(tmp_path / "out", model, n) for n in lengths) < 1e-4


def test_filter_banks_of_kaldi(tmp_path):
    conf = {"fs": 8000, "n_mels": 20, "win_length": 200, "hop_length": 80}
    config = {**HYBRID, "frontend": "kaldi_fbank", "frontend_conf": conf}
    write_model(tmp_path / "model", config)
    said = deployed(tmp_path / "out", tmp_path / "model")
    model, _ = load_model(tmp_path / "model/config.yaml", tmp_path / "model/model.pth")
    shortest = 200 + 6 * 80  # seven frames that lie in the speech
    assert (said["min_samples"], said["frame_ms"]) == (shortest, 40.0)
    lengths = ([shortest], [shortest + 79], [16000, 15999, 7777, shortest])
    assert max(differs(tmp_path / "out", model, n) for n in lengths) < 1e-4


def test_what_a_runtime_must_know_is_there(model, tmp_path):
    conf = tmp_path / "decode.yaml"
    write_yaml({"beam_size": 3, "ctc_weight": 1, "nbest": 2}, conf)
    said = deployed(tmp_path / "out", model, "--inference_config", conf)
    assert said["decoding"]["beam_size"] == 3
    assert said["decoding"]["ctc_weight"] == 1.0
    assert (said["frame_ms"], said["decoder"], said["eos"]) == (40.0, "attention", 6)
    tokens = (tmp_path / "out/tokens.txt").read_text().splitlines()
    assert tokens[0] == "<blank> 0" and tokens[-1] == "<sos/eos> 6"
    assert set(said["files"]) == {"model", "memory", "decoder"}
    assert (tmp_path / "out/runtime").is_dir()
    proof = json.loads((tmp_path / "out/deploy.json").read_text())
    assert proof["passed"] and "transcribe.py" in proof["sha256"]
    assert proof["source"]["checkpoint"] == str(model / "model.pth")


def test_a_decoder_may_stay_behind(model, tmp_path):
    said = deployed(tmp_path / "out", model, "--decoder", "false")
    assert said["decoder"] is None and list(said["files"]) == ["model"]
    names = [out.name for out in session(tmp_path / "out/model.onnx").get_outputs()]
    assert names == ["log_probs", "out_lengths"]


def test_what_is_not_proven_is_not_written(model, tmp_path, monkeypatch):
    def spoilt(whole, config, folder, *more):
        found = export_model(whole, config, folder, *more)
        with torch.no_grad():
            whole.ctc.ctc_lo.bias[3] += 0.01
        return found

    monkeypatch.setattr("espnet_prune.deploy.run.export_model", spoilt)
    load = Variant.load
    whole = load(Variant("", "", "", find_model(str(model), tmp_path)), None)
    monkeypatch.setattr(Variant, "load", lambda *_: whole)
    with pytest.raises(UserError, match="is not written, because model.onnx differs"):
        deployed(tmp_path / "out", model)
    assert list(tmp_path.iterdir()) == []


def test_sizes_and_depths_lie_below(tmp_path):
    write_model(tmp_path / "model", CONFIG)
    table = [Depth(3, [1, 2, 5], 0.1, 1, 1.0), Depth(5, [1, 2, 3, 4, 5], 0.1, 1, 1.0)]
    DepthTable(table, 5).save(tmp_path / "model/depth_table.json")
    smaller = {**CONFIG["encoder_conf"], "linear_units": 8}
    write_model(
        tmp_path / "all/sizes/params_50", {**CONFIG, "encoder_conf": smaller}, seed=1
    )
    more = ("--sizes", tmp_path / "all", "--depths", "all")
    out = tmp_path / "out"
    said = deployed(out, tmp_path / "model", *more)
    assert said["sizes"] == {"50": "size_50"} and said["depths"] == {"3": "depth_3"}
    prove([str(out)])  # each with its model
    for name, blocks in (("", None), ("size_50", None), ("depth_3", [0, 1, 4])):
        proof = json.loads((out / name / "deploy.json").read_text())
        assert proof["passed"] and proof["source"]["blocks"] == blocks
    whole, _ = load_model(tmp_path / "model/config.yaml", tmp_path / "model/model.pth")
    whole.encoder.encoders = torch.nn.Sequential(
        *[whole.encoder.encoders[i] for i in (0, 1, 4)]
    )
    assert differs(out / "depth_3", whole, [8000]) < 1e-4
    small = tmp_path / "all/sizes/params_50"
    small, _ = load_model(small / "config.yaml", small / "model.pth")
    assert differs(out / "size_50", small, [8000]) < 1e-4
    assert differs(out, small, [8000]) > 1e-2


def test_a_finished_directory_is_replaced_as_a_whole(model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    deployed(out, model)
    before = (out / "model.onnx").read_bytes()
    (out / "left.txt").write_text("of before")

    def fails(*ignored):
        raise RuntimeError("the power went")

    monkeypatch.setattr("espnet_prune.deploy.run.write_tokens", fails)
    with pytest.raises(RuntimeError):
        deployed(out, model)
    assert (out / "model.onnx").read_bytes() == before and (out / "left.txt").is_file()
    monkeypatch.undo()
    deployed(out, model)
    assert not (out / "left.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


REFUSED = {
    "frontend: s3prl cannot": {"frontend": "s3prl"},
    "normalize: utterance_max cannot": {"normalize": "utterance_max"},
    "preencoder: sinc cannot": {"preencoder": "sinc"},
    "postencoder: hugging_face": {"postencoder": "hugging_face_transformers"},
    "task st cannot": {"extra_mt_decoder": "transformer"},
    "use_wpe": {"frontend_conf": {"frontend_conf": {"use_wpe": True}}},
    "onesided": {"frontend_conf": {"onesided": False}},
    "ctc_trim": {"encoder": "conformer", "encoder_conf": {"ctc_trim": True}},
    "neither CTC nor a decoder": {"ctc": None},
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_exported_is_named(said):
    config = {**CONFIG, **REFUSED[said]}
    for key in ("frontend_conf", "encoder_conf"):
        config[key] = {**CONFIG[key], **REFUSED[said].get(key, {})}
    with pytest.raises(UserError, match=said):
        check_config(config, "config.yaml")
        model = build_model(config)
        if "ctc" in config:
            model.ctc = None
        checked(model)


def test_bad_words_end_with_a_sentence(model, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("dear diary")
    conf = tmp_path / "decode.yaml"
    write_yaml({"beam_size": "many"}, conf)
    for said, folder, words in (
        ("holds other files", "mine", [model]),
        ("no such file or directory", "out", [tmp_path / "nothing"]),
        ("has no config.yaml", "out", [tmp_path / "mine"]),
        ("there are no sizes", "out", [model, "--sizes", tmp_path / "mine"]),
        ("depth_table.json", "out", [model, "--depths", "3"]),
        ("beam_size 'many'", "out", [model, "--inference_config", conf]),
    ):
        with pytest.raises(UserError, match=said):
            deployed(tmp_path / folder, *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decode.yaml", "mine"]


def test_features_and_a_linear_before_the_encoder(tmp_path):
    config = {
        **CONFIG,
        **{"frontend": None, "frontend_conf": {}, "input_size": 12},
        **{
            "preencoder": "linear",
            "preencoder_conf": {"input_size": 12, "output_size": 24},
        },
    }
    torch.manual_seed(0)
    model = build_model(config).eval()
    said = export_model(model, config, tmp_path)
    assert (said["input"], said["feature_size"], said["frame_ms"]) == ("feats", 12, 40)
    assert said["min_samples"] == 7
    feats = np.random.RandomState(0).randn(1, 50, 12).astype("f")
    feed = {"feats": feats, "lengths": np.array([50])}
    found = session(tmp_path / "model.onnx").run(None, feed)[0]
    with torch.no_grad():
        hidden, _ = model.encode(torch.from_numpy(feats), torch.tensor([50]))
        wanted = model.ctc.log_softmax(hidden).numpy()
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()

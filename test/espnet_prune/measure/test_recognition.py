# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Whole recognitions are timed, and every part of the model in them."""

import time

import pytest
import torch

from espnet_prune import UserError
from espnet_prune.bin import cost as cost_command
from espnet_prune.decoders.cached import Cached
from espnet_prune.measure import recognition
from espnet_prune.measure.recognition import (
    CACHED,
    Recogniser,
    clocked,
    measure_recognition,
    speech_of,
)
from espnet_prune.report.parts import explained, parts_table
from espnet_prune.utils import read_json, write_yaml
from test.espnet_prune.deep import CONFIG, HYBRID, make_exp, make_model, write_model
from test.espnet_prune.tones import make_data

OPTIONS = {"beam_size": 2, "ctc_weight": 0.3, "lm_file": "no.pth", "maxlenratio": -5.0}
LATE = 0.1  # seconds that something takes more


def pair(folder):
    return folder / "config.yaml", folder / "model.pth"


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dense")
    changes = {key: HYBRID[key] for key in HYBRID if key != "model"}
    make_exp(folder, make_model(HYBRID), **changes)
    return folder


def late(monkeypatch, module, name):
    """Make a method slower."""
    stock = getattr(module, name)

    def slower(*args, **kwargs):
        time.sleep(LATE)
        return stock(*args, **kwargs)

    monkeypatch.setattr(module, name, slower, raising=False)


def test_times_go_to_the_part_that_takes_them(dense, monkeypatch):
    heard = Recogniser(*pair(dense), OPTIONS)
    speech, _ = speech_of(vars(heard.heard.asr_train_args))
    before = heard.beam(speech)
    assert set(before) == {"front", "encoder", "decoder"}
    assert before["encoder"] > before["front"] > 0 and before["decoder"] > 0
    late(monkeypatch, heard.model.encoder.embed.conv[0], "forward")
    after = heard.beam(speech)
    for part in ("front", "encoder"):
        assert after[part] >= 1000 * LATE
    late(monkeypatch, heard.model.decoder, "batch_score")
    assert heard.beam(speech)["decoder"] >= 5 * 1000 * LATE  # once per token
    assert "forward" not in vars(heard.model.encoder)  # nothing is left behind
    greedy = heard.greedy(speech)
    assert greedy and 0 not in greedy


def test_decoders_keep_keys_and_values_as_in_our_decoding(dense):
    for more, kept in (({}, True), ({CACHED: False}, False)):
        heard = Recogniser(*pair(dense), {**OPTIONS, **more})
        assert isinstance(heard.model.decoder, Cached) is kept


def test_a_way_to_score_that_calls_another_counts_once():
    model = make_model(HYBRID)
    memory, start = torch.randn(6, 8), torch.tensor([6])
    with clocked(model) as spent, torch.no_grad():
        begun = time.perf_counter()
        model.decoder.score(start, None, memory)  # calls forward_one_step
        model.decoder.batch_score(start[None], [None], memory[None])
        took = 1000 * (time.perf_counter() - begun)
    assert 0 < spent["decoder"] <= took


def test_models_take_turns_on_one_utterance(dense, tmp_path, monkeypatch):
    small = {**HYBRID["decoder_conf"], "linear_units": 4}
    write_model(tmp_path / "small", {**HYBRID, "decoder_conf": small})
    order = []
    for name in ("beam", "greedy"):
        stock = getattr(Recogniser, name)

        def noted(self, speech, stock=stock, name=name):
            order.append((name, len(speech)))
            return stock(self, speech)

        monkeypatch.setattr(Recogniser, name, noted)
    models = {"dense": pair(dense), "pruned": pair(tmp_path / "small")}
    found = measure_recognition(models, OPTIONS, runs=2)
    assert [name for name, _ in order] == ["beam", "greedy"] * 2 + [
        "greedy",
        "beam",
    ] * 2
    assert len({length for _, length in order}) == 1
    assert found["options"] == {k: OPTIONS[k] for k in OPTIONS if k != "lm_file"}
    assert found["runs"] == 2 and list(found["times"]) == ["dense", "pruned"]
    for times in found["times"].values():
        parts = sum(times[part] for part in ("encoder", "decoder", "others"))
        assert parts == pytest.approx(times["beam"]) and times["ctc"] < times["beam"]
    hurried = measure_recognition({"dense": pair(dense)}, OPTIONS, 9, limit=1e-9)
    assert hurried["runs"] == 1


def test_the_longest_utterance_of_ten_seconds_at_most(tmp_path, monkeypatch):
    make_data(tmp_path, train=1, valid=6)
    entry = [str(tmp_path / "valid_wav.scp"), "speech", "sound"]
    config = {**CONFIG, "valid_data_path_and_name_and_type": [entry]}
    speech, about = speech_of(config)
    assert len(speech) == 12000 and about.startswith("0.75 s of speech (valid")
    monkeypatch.setattr(recognition, "SECONDS", 0.6)
    speech, about = speech_of(config)
    assert len(speech) == 8000 and about.startswith("0.5 s of speech (valid")


def test_noise_where_the_data_is_not_here():
    assert speech_of(CONFIG)[0].shape == (160000,)
    features = {"frontend": None, "input_size": 20}
    assert speech_of(features)[0].shape == (1000, 20)
    assert speech_of({**features, "input_size": 1})[1] == "10 s of noise"


def test_the_table_has_every_part(dense):
    parts = {
        name: {"params": 1_000_000 * n, "macs": 10**9 * n}
        for n, name in enumerate(("front", "encoder", "decoder", "others", "model"), 1)
    }
    half = {k: {key: n // 2 for key, n in part.items()} for k, part in parts.items()}
    times = {"encoder": 4.0, "decoder": 5.0, "others": 1.0, "beam": 10.0, "ctc": 4.5}
    other = {**times, "decoder": 1.0}
    measured = {"speech": "noise", "options": {"beam_size": 2}, "runs": 3}
    measured["times"] = {"dense": times, "pruned": other}
    text = parts_table({"dense": parts, "pruned": half}, measured)
    rows = [
        [c.strip() for c in line.strip("|").split("|")] for line in text.split("\n")
    ]
    found = {row[0]: row[1:] for row in rows}
    assert found["decoder"] == [
        "3 M", "3", "5.0", "1.5 M (50%)", "1.5 (50%)", "1.0 (20%)"
    ]  # fmt: skip
    assert "joint network" not in found and found["all"][0] == "5 M"
    assert found["recognition, beam search"][2] == "10.0"
    text = explained((3.0, "assumed"), 1, measured)
    assert "3 tokens a second (assumed), beam 1" in text and "beam_size 2" in text
    assert " ms " not in parts_table({"dense": parts}, None)


def test_cost_shows_where_the_time_is(dense, tmp_path, capsys):
    write_yaml({"beam_size": 2, "maxlenratio": -3.0}, tmp_path / "decode.yaml")
    given = ["--model_config", str(dense / "config.yaml"), "--output"]
    given += [str(tmp_path / "cost.json")]
    cost_command.main(given)
    out = capsys.readouterr().out
    assert "| decoder " in out and "tokens a second" in out and " ms |" not in out
    given += ["--model_file", str(dense / "model.pth"), "--beam", "2"]
    cost_command.main([*given, "--inference_config", str(tmp_path / "decode.yaml")])
    out = capsys.readouterr().out
    assert "| recognition, beam search " in out and "beam_size 2" in out
    found = read_json(tmp_path / "cost.json")
    parts = found["lengths"][0]["parts"]
    assert parts["model"]["params"] == found["total_params"]
    assert parts["encoder"]["params"] == found["encoder_params"]
    named = ("encoder", "decoder", "others")
    assert sum(parts[p]["params"] for p in named) == found["total_params"]
    assert found["recognition"]["times"]["dense"]["decoder"] > 0
    with pytest.raises(UserError, match="--beam must be at least 1"):
        cost_command.main([*given, "--beam", "0"])


def test_what_cannot_be_heard_is_not_measured(tmp_path, caplog):
    config = {**CONFIG, "bpemodel": str(tmp_path / "none.model"), "token_type": "bpe"}
    write_model(tmp_path / "model", config)
    given = dict(zip(("--model_config", "--model_file"), pair(tmp_path / "model")))
    cost_command.main([str(word) for item in given.items() for word in item])
    assert "recognitions is not measured" in caplog.text

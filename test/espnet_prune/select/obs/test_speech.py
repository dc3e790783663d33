# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is calibrated on, what is heard in it, and what is refused."""

import numpy as np
import pytest
import soundfile
import torch

from espnet_prune import UserError
from espnet_prune.data.speech import entries_of
from espnet_prune.families import unit_graph
from espnet_prune.select.obs.calibrate import gather
from espnet_prune.select.obs.readers import all_readers
from espnet_prune.select.obs.speech import (
    Heard,
    Judge,
    Speech,
    Utterance,
    own_tokens,
)
from test.espnet_prune.decoders.test_search import HYBRID
from test.espnet_prune.deep import CONFIG, make_exp, make_model
from test.espnet_prune.select.obs.stubs import TRANSDUCER, Said


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    """A model that hears something in every utterance, and its configuration."""
    folder, model = tmp_path_factory.mktemp("exp"), make_model(CONFIG)
    config = make_exp(folder, model)
    model.load_state_dict(torch.load(folder / "model.pth", weights_only=True))
    return model.eval(), config


def speech_of(config, labels, part="train"):
    entries = entries_of(config, part)
    return Speech(entries if labels else entries[:1], config, labels)


def test_its_own_output_or_transcripts(exp):
    model, config = exp
    said, heard = (Heard(speech_of(config, labels), model) for labels in (True, False))
    tokens = config["token_list"]
    path = dict(map(reversed, [e[:2] for e in entries_of(config, "train")]))["text"]
    for line in open(path):
        key, text = line.split()
        assert "".join(tokens[i] for i in said.tokens[key]) == text
    for utterance in heard:
        batch = utterance.batch
        hidden, lengths = model.encode(batch["speech"], batch["speech_lengths"])
        best = model.ctc.argmax(hidden)[0].unique_consecutive()
        assert heard.tokens[utterance.name] == [t for t in best.tolist() if t]
        own = heard.loss(model, utterance)
        text = torch.tensor([heard.tokens[utterance.name]])
        given = dict(batch, text=text, text_lengths=torch.tensor([text.size(1)]))
        assert torch.equal(own, model(**given)[0])
    assert len(said) == len(heard) == 8


@pytest.mark.parametrize("config", [TRANSDUCER, HYBRID], ids=["rnnt", "attention"])
def test_without_ctc(config):
    """A transducer and an attention decoder say tokens, and lead gradients."""
    whole = dict(config, model_conf={"ctc_weight": 0.3})
    model = make_model(whole)
    if config is TRANSDUCER:
        model.joint_network.lin_out.bias.data[0] = -1.0  # no blank everywhere
    model.ctc, model.ctc_weight = None, 0.0
    random = torch.Generator().manual_seed(0)
    batch = {"speech": torch.randn(1, 16000, generator=random)}
    utterance = Utterance("a", dict(batch, speech_lengths=torch.tensor([16000])))
    tokens = own_tokens(model, utterance)
    assert tokens and 0 not in tokens and max(tokens) < len(CONFIG["token_list"])
    assert tokens == own_tokens(model, utterance)
    root = model.encoder
    readers = all_readers(unit_graph(root), root)
    heard = Said({"a": tokens}, [utterance])
    moments = gather(model, root, readers, {}, heard)
    assert all(float(m.fisher.sum()) > 0 for m in moments.values())


def test_gathering_leaves_the_model_as_it_was(exp):
    model, config = exp
    before = {name: t.clone() for name, t in model.state_dict().items()}
    frozen = model.encoder.encoders[0].feed_forward.w_1.weight
    frozen.requires_grad_(False)
    readers = all_readers(unit_graph(model.encoder), model.encoder)
    gather(model, model.encoder, readers, {}, Heard(speech_of(config, False), model))
    asked = [p for p in model.parameters() if not p.requires_grad]
    assert len(asked) == 1 and asked[0] is frozen
    assert all(p.grad is None for p in model.parameters())
    frozen.requires_grad_(True)
    assert not model.training and not any(m._forward_hooks for m in model.modules())
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in before.items())


def scp(folder, waves):
    """Write waves, and return the entries of them."""
    lines = []
    for name, wave in waves.items():
        soundfile.write(folder / f"{name}.wav", wave, 16000)
        lines.append(f"{name} {folder / name}.wav\n")
    (folder / "wav.scp").write_text("".join(lines))
    return [(str(folder / "wav.scp"), "speech", "sound")]


def test_silence_and_what_is_too_short_are_left_out(exp, tmp_path, caplog):
    model, config = exp
    noise = 0.1 * np.random.RandomState(0).randn(16000)
    waves = {"a": noise, "short": noise[:800], "b": noise[::-1]}
    caplog.set_level("INFO")
    heard = Heard(Speech(scp(tmp_path, waves), config, False), model)
    assert set(heard.tokens) == {"a", "b"} == {u.name for u in heard}
    assert "1 utterances without a word are left out" in caplog.text
    silent = make_model(CONFIG)
    silent.ctc.ctc_lo.bias.data[0] = 1e4
    with pytest.raises(UserError, match="hears nothing in any of 3 utterances"):
        Heard(Speech(scp(tmp_path, waves), config, False), silent)


def test_what_is_too_short_for_its_text(exp, tmp_path):
    """Texts do not make an utterance long enough, nor may they be too long."""
    model, config = exp
    noise = 0.1 * np.random.RandomState(0).randn(16000)
    entries = scp(tmp_path, {"a": noise, "short": noise[:800]})
    (tmp_path / "text").write_text("a AB\nshort A\n")
    entries.append((str(tmp_path / "text"), "text", "text"))
    heard = Heard(Speech(entries, config, True), model)
    assert set(heard.tokens) == {"a"}
    model.ctc.ctc_loss.zero_infinity = False
    try:
        (tmp_path / "text").write_text("a " + "AB" * 40 + "\nshort A\n")
        heard = Heard(Speech(entries, config, True), model)
        readers = all_readers(unit_graph(model.encoder), model.encoder)
        with pytest.raises(UserError, match="loss of a is inf; is its text longer"):
            gather(model, model.encoder, readers, {}, heard)
    finally:
        model.ctc.ctc_loss.zero_infinity = True


def test_drawing(exp):
    speech = speech_of(exp[1], False)
    spoken, held = speech.split(4, seed=1, held=True)
    assert len(spoken) == 4 and len(held) == 1
    assert not set(spoken.keys) & set(held.keys)
    again, _ = speech.split(4, seed=1, held=True)
    other, _ = speech.split(4, seed=2, held=True)
    assert again.keys == spoken.keys != other.keys
    everything, nothing = speech.split(100, seed=0, held=False)
    assert len(everything) == 8 and not len(nothing)
    with pytest.raises(UserError, match=r"1 utterance\(s\); give at least two"):
        speech.of(speech.keys[:1]).split(4, seed=0, held=True)
    with pytest.raises(UserError, match=r"0 utterance\(s\)"):
        speech.of([]).split(4, seed=0, held=False)


def test_judging(exp):
    """Against itself a model makes no errors; another does, and loses more."""
    model, config = exp
    judge = Judge(Heard(speech_of(config, False), model))
    error, loss = judge(model)
    assert error == 0.0
    other = make_model(CONFIG, seed=3)
    assert judge(other)[0] > 0.3 and judge(other)[1] > loss

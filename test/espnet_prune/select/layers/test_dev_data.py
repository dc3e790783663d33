# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""References are judged as `asr.sh` does it, utterances heard as if alone."""

import pytest
import torch

from espnet_prune.select.layers.attention import make_evaluator
from espnet_prune.select.layers.dev_data import load_batches
from espnet_prune.select.layers.evaluator import Evaluator
from espnet_prune.utils import UserError
from test.espnet_prune.deep import CONFIG, make_exp, make_model

CONV = {
    "encoder": "conformer",
    "encoder_conf": {**CONFIG["encoder_conf"], "num_blocks": 2},
}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A model, its config, and the folder of its labelled data."""
    folder = tmp_path_factory.mktemp("dev")
    model = make_model({**CONFIG, **CONV})
    return model, make_exp(folder, model, **CONV), folder


def relabelled(case, tmp_path, change, **more):
    """Return the evaluation data with other texts, and a config for them."""
    _, config, folder = case
    lines = (folder / "data/valid_text").read_text().splitlines()
    pairs = [line.split(maxsplit=1) for line in lines]
    text = "".join(f"{name} {change(text)}\n" for name, text in pairs)
    (tmp_path / "text").write_text(text)
    speech = tuple(config["valid_data_path_and_name_and_type"][0])
    return [speech, (str(tmp_path / "text"), "text", "text")], {**config, **more}


NOISE = {"non_linguistic_symbols": ["<noise>"]}


@pytest.mark.parametrize(
    "metric, change, more",
    [
        ("wer", str.lower, {}),
        ("cer", str.lower, {}),
        ("wer", str.lower, {"cleaner": "tacotron"}),
        ("wer", "<noise> {}".format, NOISE),
        ("cer", "{}<noise>".format, NOISE),
    ],
)
def test_references_pass_what_the_models_texts_pass(
    case, tmp_path, metric, change, more
):
    if "cleaner" in more:
        pytest.importorskip("tacotron_cleaner")
    model, config, _ = case
    as_it_is = Evaluator(model, load_batches(config, metric=metric))
    assert as_it_is(()).error == 0.0 < as_it_is((1,)).error
    entries, config = relabelled(case, tmp_path, change, **more)
    other = Evaluator(model, load_batches(config, entries, metric=metric))
    for removed in ((), (1,)):
        assert other(removed).error == as_it_is(removed).error


def test_a_cleaner_that_is_not_there_is_told(case):
    with pytest.raises(UserError, match="cleaner 'tacotrn' is not known"):
        load_batches({**case[1], "cleaner": "tacotrn"})


def test_batches_have_no_padding(case):
    model, config, _ = case
    batches = load_batches(config, metric="cer")
    assert len(batches) > 1 and max(len(b.ids) for b in batches) > 1
    for batch in batches:
        assert batch.lengths.unique().tolist() == [batch.speech.size(1)]
    # so that batching changes nothing but rounding
    alone = load_batches(config, metric="cer", batch_seconds=0.1)
    assert [len(b.ids) for b in alone] == [1] * 6
    for removed in ((), (1,), (2,)):
        a, b = Evaluator(model, batches)(removed), Evaluator(model, alone)(removed)
        assert a.error == b.error and a.loss == pytest.approx(b.loss, rel=1e-5)
    # in a padded batch this model hears something else
    speech = [b.speech[0] for b in alone]
    padded = torch.nn.utils.rnn.pad_sequence(speech, batch_first=True)
    lengths = torch.tensor([len(x) for x in speech])
    with torch.no_grad():
        hidden, frames = model.encode(padded, lengths)
        first, real = model.encode(speech[0][None], lengths[:1])
    assert (hidden[0, : int(real)] - first[0])[: int(frames[0])].abs().max() > 1e-3


def test_results_for_other_references_are_not_resumed(case, tmp_path):
    model, config, folder = case
    options = (folder / "model.pth", tmp_path / "tried.tsv")
    first = make_evaluator(model, config, *options, metric="cer")
    first(())
    again = make_evaluator(model, config, *options, metric="cer")
    assert len(again.tried) == 1
    entries, config = relabelled(case, tmp_path, lambda text: f"{text}A")
    other = make_evaluator(model, config, *options, entries, metric="cer")
    assert len(other.tried) == 0 and (tmp_path / "tried.tsv.old").exists()

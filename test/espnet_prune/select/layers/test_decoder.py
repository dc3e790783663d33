# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Blocks of a decoder go by the error of the attention decoder.

The labels are what the decoder says without its third block, and its second block does
nothing: so the two are those to go.
"""

import json

import pytest
import torch

from espnet_prune.bin import cut, evaluate_blocks, select
from espnet_prune.models import load_model
from espnet_prune.select.layers.attention import (
    AttentionEvaluator,
    forced_loss,
    greedy,
    make_evaluator,
)
from espnet_prune.select.layers.dev_data import load_batches
from espnet_prune.units.blocks import kept_after, with_blocks
from espnet_prune.utils import UserError, read_json, write_yaml
from test.espnet_prune.deep import CONFIG, make_exp, make_model
from test.espnet_prune.encoder_zoo import randomise
from test.espnet_prune.tones import TOKENS

N = 4
END = len(TOKENS) - 1
SETS = [(), (1,), (2,), (4,), (1, 3), (2, 3), (1, 2, 3), (2, 3, 4)]
DECODER = {
    "encoder_conf": {**CONFIG["encoder_conf"], "num_blocks": 2},
    "decoder": "transformer",
    "decoder_conf": dict(attention_heads=2, linear_units=24, num_blocks=N),
    "model_conf": {"ctc_weight": 0.3},
}


def listener(kind):
    """Return a decoder that listens, and whose second block does nothing."""
    torch.manual_seed(22)
    decoder = randomise(kind(len(TOKENS), 16, **DECODER["decoder_conf"]), 22)
    with torch.no_grad():
        for parameter in decoder.decoders.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2.0)
        for block in decoder.decoders:
            block.src_attn.linear_v.weight.mul_(2.0)
        block = decoder.decoders[1]
        for last in (
            block.self_attn.linear_out,
            block.src_attn.linear_out,
            block.feed_forward.w_2,
        ):
            last.weight.zero_(), last.bias.zero_()
        decoder.output_layer.weight.mul_(3.0)
        decoder.output_layer.bias.zero_()
        decoder.output_layer.bias[:2] = -1000.0  # letters only
        decoder.output_layer.bias[END] = 2.0  # so that all end by themselves
    return decoder


def spoken(decoder, model, batches):
    """Return what a decoder says of each utterance."""
    found = {}
    for batch in batches:
        memory = model.encode(batch.speech, batch.lengths)[0]
        heard = greedy(decoder, memory, END, END, [12] * len(memory))
        found.update(zip(batch.ids, heard))
    sizes = [len(tokens) for tokens in found.values()]
    assert max(sizes) < 12 and min(sizes) > 1
    assert len({tuple(tokens) for tokens in found.values()}) > 2
    return found


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A model, its experiment, and the batches that judge."""
    folder = tmp_path_factory.mktemp("decoder")
    model = make_model({**CONFIG, **DECODER})
    model.decoder = listener(type(model.decoder))
    config = make_exp(folder, model, **DECODER)
    batches = load_batches(config, metric="cer")
    with torch.no_grad():
        found = spoken(with_blocks(model.decoder, [0, 3], "decoders"), model, batches)
    lines = [f"{n} {''.join(TOKENS[t] for t in row)}\n" for n, row in found.items()]
    (folder / "data/valid_text").write_text("".join(sorted(lines)))
    torch.save(model.state_dict(), folder / "model.pth")
    return model, config, folder, load_batches(config, metric="cer")


def beam_of_one(decoder, memory, limit):
    """Return what ESPnet's own beam search says of a memory (T, C)."""
    from espnet2.bin.asr_inference import BeamSearch

    search = BeamSearch(
        scorers={"decoder": decoder},
        weights={"decoder": 1.0},
        beam_size=1,
        vocab_size=len(TOKENS),
        sos=END,
        eos=END,
    )
    with torch.no_grad():
        return search(memory, maxlenratio=-limit)[0].yseq.tolist()[1:-1]


def test_errors_are_those_of_espnets_search_with_a_beam_of_one(case):
    from rapidfuzz.distance import Levenshtein

    model, _, _, batches = case
    judge, errors = AttentionEvaluator(model, batches), set()
    for removed in SETS:
        decoder = with_blocks(model.decoder, kept_after(removed, N), "decoders")
        wrong = 0
        for batch in batches:
            for i, target in enumerate(batch.targets):
                with torch.no_grad():
                    memory = model.encode(batch.speech[i][None], batch.lengths[:1])[0]
                said = beam_of_one(decoder, memory[0], 2 * len(target) + 10)
                wrong += Levenshtein.distance(
                    batch.split(batch.to_text(said)), batch.refs[i]
                )
        found = judge(removed).error
        assert found == wrong / sum(b.num_tokens for b in batches)
        errors.add(found)
    assert len(errors) > 3 and judge((2, 3)).error == 0.0
    assert judge((2,)) == judge(()) and judge(()).error > 0


def test_utterances_are_judged_as_if_alone(case):
    model, config, _, batches = case
    assert max(len(b.ids) for b in batches) > 1
    alone = load_batches(config, metric="cer", batch_seconds=0.1)
    for removed in SETS:
        both = [AttentionEvaluator(model, b)(removed) for b in (batches, alone)]
        assert both[0].error == both[1].error
        assert both[0].loss == pytest.approx(both[1].loss, rel=1e-5)


def test_loss_is_that_of_teacher_forcing(case):
    model, _, _, batches = case
    batch = max(batches, key=lambda b: len(b.ids))
    with torch.no_grad():
        memory = model.encode(batch.speech, batch.lengths)[0]
        wanted = 0.0
        for row, target in zip(memory, batch.targets):
            ys, state = [END, *target.tolist()], None
            for n, token in enumerate([*target.tolist(), END], start=1):
                scores, state = model.decoder.score(torch.tensor(ys[:n]), state, row)
                wanted -= float(scores[token])
    found = forced_loss(model.decoder, memory, batch.targets, END, END)
    assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_the_encoder_runs_once(case, cache_bytes):
    model, _, _, batches = case
    calls = []
    hook = model.encoder.register_forward_hook(lambda *args: calls.append(1))
    judge = AttentionEvaluator(model, batches, cache_bytes=cache_bytes)
    results = judge.evaluate([(), (1,), (2, 3)])
    hook.remove()
    assert results == AttentionEvaluator(model, batches).evaluate([(), (1,), (2, 3)])
    assert len(calls) == len(batches) * (1 if cache_bytes else 3)
    assert (judge.blocks_run < judge.blocks_naive) == (cache_bytes > 0)


def options(folder, out, conf):
    write_yaml({"method": "layers", **conf}, folder / "select.yaml")
    words = ["--config", str(folder / "select.yaml"), "--output_dir", str(out)]
    return words + pair(folder)


def pair(folder):
    files = "--model_config", "config.yaml", "--model_file", "model.pth"
    return [str(folder / w) if "." in w else w for w in files]


@pytest.mark.parametrize("search", [None, "iterative", "exhaustive"])
def test_the_right_blocks_go_and_the_cut_is_stock(case, tmp_path, search, capsys):
    model, config, folder, batches = case
    own = {"metric": "cer", **({"search": search} if search else {})}
    conf = {"num_remove": 2, "budget": {"of": "decoder"}, "layers_conf": own}
    select.main(options(folder, tmp_path / "select", conf))
    record = read_json(tmp_path / "select/structure.json")["provenance"]
    assert record["removed"] == [2, 3] and record["of"] == "decoder"
    assert record["search"] == (search or "iterative")
    assert record["error"] == 0.0 < record["dense_error"]
    head = (tmp_path / "select/candidates.tsv").read_text().splitlines()[0]
    assert head.split("\t")[-1] == "att_loss"
    words = [*pair(folder), "--select_dir", str(tmp_path / "select")]
    cut.main([*words, "--output_dir", str(tmp_path / "cut"), "--trials", "2"])
    assert read_json(tmp_path / "cut/verify.json")["equal"]
    small, found = load_model(tmp_path / "cut/config.yaml", tmp_path / "cut/model.pth")
    assert found["decoder"] == "transformer" and found["encoder"] == "transformer"
    assert found["decoder_conf"] == {**DECODER["decoder_conf"], "num_blocks": 2}
    assert len(small.encoder.encoders) == 2 == len(small.decoder.decoders)
    assert AttentionEvaluator(small, batches)(()).error == 0.0
    left, full = (
        sum(p.numel() for p in m.decoder.parameters()) for m in (small, model)
    )
    assert record["reached"] == pytest.approx(1 - left / full)
    assert json.loads(capsys.readouterr().out.splitlines()[0])["reached"] < 1


def test_a_budget_of_the_decoder_becomes_a_number_of_blocks(case, tmp_path):
    _, _, folder, _ = case
    own = {"metric": "cer", "search": "truncate"}
    conf = {"budget": {"of": "decoder", "sparsity": 0.4}, "layers_conf": own}
    for more, number in (
        ([], 2),
        (["--sparsity", "0.2"], 1),
        (["--num_remove", "3"], 3),
    ):
        out = tmp_path / str(number)
        select.main([*options(folder, out, conf), *more])
        found = read_json(out / "structure.json")["structure"]["stacks"]
        assert found["decoder"]["kept_blocks"] == list(range(N - number))
        assert found["encoder"]["kept_blocks"] == [0, 1]


def test_jobs_write_the_same_table(case, tmp_path):
    model, config, folder, _ = case
    (tmp_path / "sets.txt").write_text("\n2,3\n1\n")
    words = [*pair(folder), "--sets", str(tmp_path / "sets.txt"), "--metric", "cer"]
    evaluate_blocks.main(
        [*words, "--of", "decoder", "--output", str(tmp_path / "tried.tsv")]
    )
    judge = make_evaluator(
        model, config, folder / "model.pth", tmp_path / "t", metric="cer", of="decoder"
    )
    judge.tried.merge(tmp_path / "tried.tsv")
    assert judge((2, 3)).error == 0.0 and judge.blocks_run == 0
    # what was judged by CTC is no result of a decoder
    args = (model, config, folder / "model.pth", tmp_path / "t")
    assert len(make_evaluator(*args, metric="cer").tried) == 0


@pytest.mark.parametrize(
    "conf, text",
    [
        ({"num_remove": 4}, "num_remove is 4; of 4 blocks 1 to 3"),
        ({"layers_conf": {"search": "comflp"}}, "for a decoder take search: iterative"),
        ({"layers_conf": {"depth_table": True}}, "depth_table is one of encoders"),
        ({"budget": {"of": "model"}}, "and of: model of this model has none"),
        ({"budget": {"of": "joint"}}, "and of: joint of this model has none"),
        ({"budget": {"of": "decoder", "sparsity": 0.5}}, "either num_remove or a"),
        (
            {"num_remove": None, "budget": {"of": "decoder", "sparsity": 0.99}},
            "more than 3 of 4 blocks",
        ),
    ],
)
def test_what_cannot_be_done_is_told(case, tmp_path, conf, text):
    conf = {"num_remove": 1, "budget": {"of": "decoder"}, **conf}
    conf = {key: value for key, value in conf.items() if value is not None}
    with pytest.raises(UserError, match=text):
        select.main(options(case[2], tmp_path / "out", conf))
    assert not (tmp_path / "out").exists()


def test_a_model_without_such_a_decoder(tmp_path):
    config = make_exp(tmp_path, make_model(CONFIG))
    conf = {"num_remove": 1, "budget": {"of": "decoder"}}
    with pytest.raises(UserError, match="of: decoder of this model has none"):
        select.main(options(tmp_path, tmp_path / "out", conf))
    model = make_model(CONFIG)
    with pytest.raises(UserError, match="this model has no decoder with blocks"):
        make_evaluator(
            model, config, tmp_path / "model.pth", tmp_path / "t", of="decoder"
        )

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Encoders and models of ESPnet's task asr_transducer, beside what all variants do."""

import argparse

import pytest
import soundfile
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from espnet_prune import Structure, UserError, cost, cut, unit_graph
from espnet_prune.bin import asr_train
from espnet_prune.bin import cut as cut_command
from espnet_prune.bin import select, verify
from espnet_prune.compat import BodyEncoder
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare
from espnet_prune.families import family_named
from espnet_prune.families.body import expanded, streamed
from espnet_prune.models import load_model
from espnet_prune.tasks import TASKS, task_of
from espnet_prune.units import masked
from espnet_prune.units.narrow import can_drop, most_removable
from espnet_prune.utils import read_yaml, write_yaml
from test.espnet_prune.encoder_zoo import BLOCK, MEL, build, inputs, randomise
from test.espnet_prune.tones import TOKENS, make_data

CONV = dict(block_type="conv1d", output_size=20, kernel_size=3)
AFTER = dict(BLOCK, hidden_size=20, block_type="conformer", linear_size=24)
BEFORE = dict(BLOCK, block_type="branchformer", linear_size=24)
MIXED = {
    "first": dict(body_conf=[CONV, AFTER], input_conf=dict(conv_size=6)),
    "shorter": dict(body_conf=[BEFORE, dict(CONV, stride=2, batch_norm=True), AFTER]),
    "causal": dict(
        body_conf=[BEFORE, CONV, AFTER], main_conf=dict(dynamic_chunk_training=True)
    ),
    "other_norm": dict(
        body_conf=[BEFORE, CONV, AFTER], main_conf=dict(conv_mod_norm_type="rms_norm")
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_blocks_that_change_frames_and_width_are_priced_and_stay(name):
    torch.manual_seed(0)
    encoder = randomise(BodyEncoder(MEL, **{"input_conf": {}, **MIXED[name]}))
    encoder.dynamic_chunk_training = False
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as count:
        encoder(torch.randn(1, 101, MEL), torch.tensor([101]))
    assert cost(encoder, 101).macs == count.get_total_flops() // 2
    graph, structure = unit_graph(encoder), Structure.random(encoder, 1, 0.5)
    masks = soft_masks(graph, structure)
    small = cut(encoder, structure, masks)
    assert compare(encoder, graph, masks, small, trials=2)["equal"]
    assert cost(structure).params == sum(p.numel() for p in small.parameters())
    kinds = [unit.kind for unit in graph]
    gated = name in ("shorter", "causal")
    assert kinds == ["cgmlp_channel"] * gated + ["ffn_unit"]
    assert most_removable(encoder, "encoders.blocks") == 0
    assert not can_drop(encoder, [1], "encoders.blocks")
    with pytest.raises(UserError, match="beside conv1d blocks.*keep all blocks"):
        cut(encoder, structure.with_widths({"kept_blocks": [0]}))


def test_a_unit_is_one_of_all_modules_that_share_a_size():
    encoder = build("body_repeated")
    graph = unit_graph(encoder)
    names = [f"encoders.blocks.{i}.units" for i in range(4)]
    assert list(graph.units) == names
    assert [unit.size for unit in graph] == [12, 12, 24, 24]
    structure = Structure.dense(encoder).with_widths(
        {"cgmlp_units": [5, 12, 0, 0], "linear_units": [0, 0, 7, 24]}
    )
    small = cut(encoder, structure)
    first, _, third, _ = small.encoders.blocks
    assert first.linear_size == 10 and first.channel_proj2.in_features == 5
    for name in ("feed_forward_macaron", "feed_forward"):
        assert getattr(first, name).w_1.out_features == 10
        assert getattr(third, name).w_2.in_features == 7
    small.reset_cache(3, torch.device("cpu"))
    assert first.cache[1].shape == (1, 5, 4)  # of a stream


def test_repeated_blocks_are_written_one_by_one_where_they_differ():
    body = [{"linear_size": 8, "num_blocks": 2}, {"linear_size": 6}]
    assert [row["linear_size"] for row in expanded(body)] == [8, 8, 6]
    encoder, family = build("body_repeated"), family_named("body_conf")
    dense = Structure.dense(encoder)
    conf = {"body_conf": [dict(body[0]), dict(body[0])]}
    for kept, sizes in (
        ([0, 1, 2, 3], [(10, 2), (24, 1), (9, 1)]),
        ([0, 3], [(10, 1), (9, 1)]),
    ):
        widths = {"cgmlp_units": [5, 5, 0, 0], "linear_units": [0, 0, 24, 9]}
        widths = {key: [row[i] for i in kept] for key, row in widths.items()}
        structure = dense.with_widths({"kept_blocks": kept, **widths})
        own = family.stock_conf(conf, dense["encoder"], structure["encoder"])
        found = [(b["linear_size"], b.get("num_blocks", 1)) for b in own["body_conf"]]
        assert found == sizes
    assert conf["body_conf"] == [body[0], body[0]]  # it is the reader's


def test_a_stream_is_of_the_masked_encoder_too():
    encoder = build("body_branches")
    graph, (x, _) = unit_graph(encoder), inputs("body_branches", 200)
    masks = {unit.name: torch.arange(unit.size) % 2.0 for unit in graph}
    structure = graph.structure(graph.close(masks))
    with masked(encoder, graph, masks):
        wanted = streamed(encoder, x)
    got = streamed(cut(encoder, structure, masks), x)
    assert len(got) == 42 and torch.allclose(got, wanted, atol=1e-5)
    assert not torch.allclose(got, streamed(encoder, x), atol=1e-2)


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    """An experiment of the task, whose model says something."""
    folder = tmp_path_factory.mktemp("asr_transducer")
    make_data(folder / "data", train=4, valid=3)
    task = TASKS["asr_transducer"].espnet_class()
    blocks = [
        dict(BLOCK, block_type=kind, linear_size=64, num_blocks=2)
        for kind in ("conformer", "ebranchformer")
    ]
    known = vars(task.get_parser().parse_args([]))
    own = dict(
        token_list=TOKENS,
        token_type="char",
        frontend_conf=dict(fs=16000, n_fft=256, hop_length=160, n_mels=20),
        encoder_conf=dict(body_conf=blocks, input_conf=dict(conv_size=8)),
        decoder="stateless",
        decoder_conf=dict(embed_size=8),
        joint_network_conf=dict(joint_space_size=16),
    )
    torch.manual_seed(1)
    model = task.build_model(argparse.Namespace(**{**known, **own}))
    with torch.no_grad():
        model.joint_network.lin_enc.weight.mul_(6.0)
        model.joint_network.lin_out.weight.mul_(4.0)
        model.joint_network.lin_out.bias[0] = 1.0
    write_yaml({**known, **own}, folder / "config.yaml")
    torch.save(model.state_dict(), folder / "model.pth")
    return folder


def pair(folder):
    files = [str(folder / name) for name in ("config.yaml", "model.pth")]
    return ["--model_config", files[0], "--model_file", files[1]]


def chosen(conf, folder, out):
    """Select, and return the directory of the selection."""
    write_yaml(conf, out / "conf.yaml")
    words = ["--config", str(out / "conf.yaml"), *pair(folder)]
    words += ["--output_dir", str(out / "select")]
    select.main(words + ["--calibration", str(folder / "data/train_wav.scp")])
    return out / "select"


def heard(folder, data, masks=None):
    """Return what ESPnet's own inference hears in tones, whole and as streams."""
    from espnet2.bin.asr_transducer_inference import Speech2Text

    files, found = (str(folder / "config.yaml"), str(folder / "model.pth")), []
    for options in ({}, dict(streaming=True, left_context=4)):
        decoder = Speech2Text(*files, beam_size=2, **options)
        encoder = decoder.asr_model.encoder
        graph = unit_graph(encoder)
        with masked(encoder, graph, masks or {}):
            for path in sorted(data.glob("valid*.wav")):
                wave = torch.tensor(soundfile.read(path)[0]).float()
                decode = decoder
                if options:
                    decoder.streaming_decode(wave[:10240])
                    wave, decode = wave[10240:20480], decoder.streaming_decode
                hyps = decode(wave, True) if options else decode(wave)
                found.append(hyps[0].yseq)
    return found


@pytest.fixture(scope="module")
def small(exp, tmp_path_factory):
    """The same model with three quarters of its parameters, and its selection."""
    out = tmp_path_factory.mktemp("small")
    obs = {"powers": [0.0], "num_utts": 4}
    budget = {"kind": "params", "sparsity": 0.25}
    folder = chosen({"method": "obs", "budget": budget, "obs_conf": obs}, exp, out)
    words = [*pair(exp), "--select_dir", str(folder), "--trials", "2"]
    cut_command.main([*words, "--output_dir", str(out / "cut")])
    # the masked model: the dense configuration with the weights of the selection
    (folder / "model.pth").write_bytes((folder / "weights.pth").read_bytes())
    (folder / "config.yaml").write_bytes((exp / "config.yaml").read_bytes())
    return out


def test_what_is_cut_is_stock_and_says_what_the_masked_model_says(exp, small):
    config = read_yaml(small / "cut/config.yaml")
    assert "encoder" not in config and "structure" not in config["encoder_conf"]
    sizes = {b["linear_size"] for b in expanded(config["encoder_conf"]["body_conf"])}
    assert len(sizes) > 1 and min(sizes) < 64
    masks = torch.load(small / "select/masks.pth", weights_only=True)
    texts = heard(small / "cut", exp / "data")
    assert texts == heard(small / "select", exp / "data", masks)
    assert any(len(text) > 2 for text in texts)
    masks = {name: 1.0 - mask for name, mask in masks.items()}
    assert texts != heard(small / "select", exp / "data", masks)


def test_blocks_go_by_rule_and_not_by_an_error_that_nobody_measures(exp, tmp_path):
    conf = {"method": "layers", "num_remove": 1}
    folder = chosen({**conf, "layers_conf": {"search": "truncate"}}, exp, tmp_path)
    assert Structure.load(folder / "structure.json")["encoder"].kept_blocks == [0, 1, 2]
    verify.main([*pair(exp), "--structures", "1", "--trials", "1"])
    with pytest.raises(UserError, match="task asr_transducer .* search: truncate"):
        chosen({**conf, "layers_conf": {"search": "comflp"}}, exp, tmp_path)


def test_a_cut_model_is_trained_on_by_its_own_task(exp, small, monkeypatch):
    monkeypatch.chdir(exp)
    own = {"batch_type": "unsorted", "batch_size": 4, "max_epoch": 1, "num_workers": 0}
    own["best_model_criterion"] = [["valid", "loss", "min"]]
    write_yaml({**own, "distill_conf": {"layers": 2}}, small / "train.yaml")
    words = ["--config", small / "train.yaml", "--output_dir", small / "trained"]
    words += ["--base_config", small / "cut/config.yaml"]
    words += ["--init_param", small / "cut/model.pth"]
    words += ["--teacher_config", "config.yaml", "--teacher_model", "model.pth"]
    for part in ("train", "valid"):
        for kind in ("wav.scp,speech,sound", "text,text,text"):
            entry = f"data/{part}_{kind}"
            words += [f"--{part}_data_path_and_name_and_type", entry]
        words += [f"--{part}_shape_file", f"data/{part}_shape"]
    asr_train.main([str(word) for word in words])
    before = torch.load(small / "cut/model.pth", weights_only=True)
    trained, config = load_model(
        small / "trained/config.yaml", small / "trained/latest.pth"
    )
    after = trained.state_dict()
    assert before.keys() == after.keys() and task_of(config).name == "asr_transducer"
    assert all(before[key].shape == after[key].shape for key in before)
    assert any(not torch.equal(before[key], after[key]) for key in before)
    stats = torch.load(small / "trained/checkpoint.pth", weights_only=False)
    assert stats["reporter"]["stats"][1]["train"]["kd_layer"] > 0

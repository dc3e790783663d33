# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A model with a self-supervised front end: selected, cut, written, exported."""

import shutil

import onnx
import onnxruntime
import pytest
import torch

from espnet_prune import cost, cut
from espnet_prune.bin import quick
from espnet_prune.deploy.int8.parts import parts_of
from espnet_prune.deploy.onnx.export import write
from espnet_prune.deploy.onnx.package import check_config, checked
from espnet_prune.models import build_model, load_model
from espnet_prune.select.l0.gates import gates_of
from espnet_prune.structure import FRONT_SSL, Structure
from espnet_prune.utils import UserError, read_json, read_yaml
from test.espnet_prune.deep import CONFIG
from test.espnet_prune.encoder_zoo import FRONTS, randomise
from test.espnet_prune.front_ssl.make import FOLDER
from test.espnet_prune.select.obs.stubs import Speech, check_path, gone, plan_of
from test.espnet_prune.tones import make_data

OF_FRONT = {"of": FRONT_SSL, "kind": "params", "sparsity": 0.4}
TINY = dict(CONFIG["encoder_conf"], num_blocks=1, input_layer="linear")


def make(variant):
    """Return a model with a front end of the zoo, and its config."""
    conf = dict(FRONTS[variant])
    config = {**CONFIG, "frontend": "pruned_ssl", "frontend_conf": conf}
    config["encoder_conf"] = TINY
    torch.manual_seed(0)
    model = build_model(config).eval()
    randomise(model.frontend)
    return model, config


def test_obs_removes_what_a_budget_is_of():
    model, config = make("front_wavlm_large")
    budget = {**OF_FRONT, "kind": "macs"}
    path = gone(plan_of(model, budget, config), Speech(), [0.2])
    (selection,) = check_path(path, [0.4])
    removed = {u.stack for u in path.graph if not selection.masks[u.name].all()}
    assert removed == {FRONT_SSL}
    kinds = {u.kind for u in path.graph if not selection.masks[u.name].all()}
    assert {"head", "wave_channel"} <= kinds


def test_gates_lead_the_front_end_to_its_budget():
    model, _ = make("front_base")
    gates = gates_of(model, budget={**OF_FRONT, "sparsity": 0.5}, ramp_steps=70)
    optimizer = torch.optim.Adam(gates.parameters(), lr=gates.gate_lr)
    speech, lengths = torch.randn(1, 5000), torch.tensor([5000])
    text = torch.tensor([[2, 3]]), torch.tensor([2])
    for step in range(110):
        gates.train_step_begin()
        loss = gates.regulariser()[0]
        if step % 40 == 0:
            loss = loss + 1e-3 * model(speech, lengths, *text)[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        gates.after_step()
    model.eval()
    structure = gates.structure()
    small = cut(model, structure, gates)
    counts = [cost(s, part=FRONT_SSL).params for s in (gates.graph.dense, structure)]
    assert 0.45 <= counts[1] / counts[0] <= 0.5
    assert counts[1] == sum(p.numel() for p in small.frontend.parameters())
    with torch.no_grad():
        wanted, got = (m.eval()(speech, lengths, *text)[0] for m in (model, small))
    assert torch.allclose(wanted, got, rtol=1e-5)


def test_time_and_price_are_the_front_ends_own():
    """A frame of 20 ms, however the encoder behind it counts; others keep the rest."""
    model, _ = make("front_lower")
    dense = Structure.dense(model)
    alone = Structure.dense(model.frontend)
    for frames in (100, 333):
        assert cost(dense, frames, FRONT_SSL) == cost(alone, frames)
    assert cost(dense).params == sum(p.numel() for p in model.parameters())


def test_quick_from_the_checkpoint_of_s3prl(tmp_path, capsys):
    """The target is of the whole model; what is written is built without s3prl."""
    make_data(tmp_path / "data", train=8, valid=4)
    shutil.copytree(FOLDER / "wavlm", tmp_path / "exp")
    state = torch.load(tmp_path / "exp" / "model.pth")
    state["ctc.ctc_lo.bias"][0] -= 3.0  # it hears something
    torch.save(state, tmp_path / "exp" / "model.pth")
    data = [str(tmp_path / "data" / f"{n}_wav.scp") for n in ("train", "valid")]
    options = ["--model", str(tmp_path / "exp"), "--audio", data[0], "--dev", data[1]]
    options += ["--beam_size", "1", "--output_dir", str(tmp_path / "small")]
    with pytest.raises(UserError, match="ms are those of the encoder"):
        quick.main([*options, "--target", "50%ms"])
    shutil.rmtree(tmp_path / "small")
    quick.main([*options, "--target", "60%params"])
    small = tmp_path / "small"
    written = read_yaml(small / "config.yaml")
    assert written["frontend"] == "pruned_ssl"
    assert written["frontend_conf"]["structure"]["kept_blocks"]
    model, _ = load_model(small / "config.yaml", small / "model.pth")
    dense, _ = load_model(tmp_path / "exp/config.yaml", tmp_path / "exp/model.pth")
    sizes = [sum(p.numel() for p in m.parameters()) for m in (model, dense)]
    assert 0.55 < sizes[0] / sizes[1] <= 0.6
    assert len(model.frontend.layer_weights) == 4  # whatever blocks are left
    assert read_json(small / "verify.json")["relative_diff"] < 1e-6
    assert "| parameters, front end" in (small / "quick.md").read_text()
    check_config(written, small / "config.yaml")


@pytest.mark.parametrize("variant", ["front_wavlm_large", "front_last", "front_lower"])
def test_onnx_says_what_the_model_says(variant, tmp_path):
    """Each row of a padded batch as the utterance alone, cut, without a block."""
    model, _ = make(variant)
    structure = Structure.random(model, 1, 0.6)
    structure = structure.with_widths({FRONT_SSL: {"kept_blocks": [0, 2]}})
    model = cut(model, structure).eval()
    write(checked(model), tmp_path / "model.onnx")
    parts = set(parts_of(onnx.load(str(tmp_path / "model.onnx"))))
    own = {"projection", "attention", "feed-forward"}
    assert {f"front end: {name}" for name in own} <= parts
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options)
    speech, lengths = 0.1 * torch.randn(3, 9000), torch.tensor([9000, 7003, 4000])
    given = {"speech": speech.numpy(), "lengths": lengths.numpy()}
    found = dict(zip(("log_probs", "out_lengths"), session.run(None, given)))
    for row, length in enumerate(lengths):
        with torch.no_grad():
            hidden, count = model.encode(speech[row : row + 1, :length], length[None])
            wanted = model.ctc.log_softmax(hidden)[0]
        assert found["out_lengths"][row] == int(count)
        got = torch.from_numpy(found["log_probs"][row, : int(count)])
        assert (got - wanted).abs().max() < 2e-5

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A student that is its teacher has nothing to learn, whatever the model."""

import copy

import pytest
import torch

from espnet_prune.distill.config import DistillConf
from espnet_prune.utils import UserError
from test.espnet_prune.encoder_zoo import MEL, SPEECH, VARIANTS, pruned_class

MATCHINGS = ("fixed", "nearest", "nearest_in_order")
UNLABELLED = dict(labels=False, distance="l1_cosine", block_input=True)
TOKENS = ["<blank>", "<unk>", "a", "b", "c", "<sos/eos>"]
HIDE = dict(mask_time_prob=0.5, mask_channel_prob=0.3, mask_channel_length=2)
FAMILIES = {
    "latest": {},
    "interctc": {"interctc_use_conditioning": True},
    "stochastic_depth": {"stochastic_depth_rate": 0.0},
    "transformer": {},
    "transformer_post_norm": {},
    "branchformer": {},
    "branchformer_fixed": {},
    "e_branchformer": {},
    "e_branchformer_linear": {},
    **{name: HIDE for name in SPEECH},
}


def encoder(name, **more):
    torch.manual_seed(0)
    more = {**FAMILIES[name], **more}
    if name in SPEECH:
        return pruned_class("wav2vec2")(**{**SPEECH[name], **more})
    family, conf = VARIANTS[name]
    conf = {**conf, "num_blocks": 3, **more}
    if isinstance(conf.get("cgmlp_weight"), list):
        conf["cgmlp_weight"] = [0.3, 0.8, 0.5]
    return pruned_class(family)(MEL, **conf)


def asr(cls, encoder, preencoder=None, postencoder=None, decoder=None):
    from espnet2.asr.ctc import CTC

    size = encoder.output_size()
    conditions = getattr(encoder, "interctc_use_conditioning", False)
    if conditions and encoder.conditioning_layer is None:
        encoder.conditioning_layer = torch.nn.Linear(len(TOKENS), size)
    return cls(
        vocab_size=len(TOKENS),
        token_list=TOKENS,
        frontend=None,
        specaug=None,
        normalize=None,
        preencoder=preencoder,
        encoder=encoder,
        postencoder=postencoder,
        decoder=decoder,
        ctc=CTC(len(TOKENS), size),
        joint_network=None,
        ctc_weight=1.0 if decoder is None else 0.5,
        interctc_weight=0.5 if getattr(encoder, "interctc_layer_idx", None) else 0.0,
    )


def student_of_itself(encoder, conf, gated=False, widths=None, **parts):
    """Return a model in training, without dropout, whose teacher is its copy."""
    from espnet2.asr.espnet_model import ESPnetASRModel

    import espnet_prune
    from espnet_prune.distill.hook import distil
    from espnet_prune.select.l0.hook import GateHook
    from espnet_prune.train.model import PruneASRModel

    student = asr(PruneASRModel, encoder, **parts)
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout_rate", "p"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    teacher = asr(ESPnetASRModel, copy.deepcopy(encoder), **copy.deepcopy(parts))
    teacher.load_state_dict(student.state_dict())
    if gated:
        gates = dict(budget={"sparsity": 0.3}, drop=1e-6, ramp_steps=100)
        student.add_hook(GateHook(espnet_prune.attach_gates(student.encoder, **gates)))
    distil(student, teacher, DistillConf.from_dict(dict(w_asr=0.0, **conf)), widths)
    student.train()
    for module in student.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    return student


def losses(student, seed=0):
    torch.manual_seed(seed)
    if hasattr(student.encoder.embed, "hidden"):
        speech, lengths = torch.randn(2, 6000), torch.tensor([6000, 5000])
    else:
        speech, lengths = torch.randn(2, 80, MEL), torch.tensor([80, 61])
    text = torch.tensor([[2, 3, 4], [3, 2, -1]])
    stats = student(speech, lengths, text, torch.tensor([3, 2]))[1]
    return {k: float(v) for k, v in stats.items() if k.startswith("kd_")}


def assert_same_then_disturbed(student):
    found = losses(student)
    assert "kd_layer" in found and max(found.values()) < 1e-6, found
    block = student.encoder.encoders[1]
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.mul_(1.5).add_(0.05)
    found = losses(student)
    assert found["kd_layer"] > 1e-5, found
    assert found.get("kd_ctc", 1.0) > 1e-7, found


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_and_matching(name):
    for i, matching in enumerate(MATCHINGS):
        for j, more in enumerate(({}, UNLABELLED)):
            conf = dict(more, matching=matching, layers=3)
            gated = (i + j) % 2 == 0
            student = student_of_itself(encoder(name), conf, gated=gated)
            assert_same_then_disturbed(student)


@pytest.mark.parametrize("matching", MATCHINGS)
def test_a_postencoder_that_shortens(matching):
    from espnet2.asr.decoder.transformer_decoder import TransformerDecoder
    from espnet2.asr.postencoder.length_adaptor_postencoder import (
        LengthAdaptorPostEncoder,
    )

    conf = dict(matching=matching, layers=3)
    parts = dict(
        postencoder=LengthAdaptorPostEncoder(16, length_adaptor_n_layers=1),
        decoder=TransformerDecoder(len(TOKENS), 16, 2, 16, 1),
    )
    student = student_of_itself(encoder("latest"), conf, **parts)
    assert set(losses(student)) == {"kd_layer", "kd_ctc", "kd_att"}
    assert_same_then_disturbed(student)


def test_a_preencoder_is_part_of_the_teacher():
    from espnet2.asr.preencoder.linear import LinearProjection

    conf = dict(UNLABELLED, matching="fixed", layers=3)
    parts = dict(preencoder=LinearProjection(MEL, MEL))
    student = student_of_itself(encoder("latest"), conf, **parts)
    assert max(losses(student).values()) < 1e-6
    with torch.no_grad():
        student.preencoder.linear_out.weight.mul_(1.5)
    assert losses(student)["kd_layer"] > 1e-3


@pytest.mark.parametrize("matching", MATCHINGS)
def test_a_model_that_lacks_blocks(matching):
    widths = dict(
        kept_blocks=[0, 2],
        attention_heads=[4, 2],
        linear_units=[24, 8],
        macaron_linear_units=[24, 0],
        conv_channels=[16, 4],
        subsampling_channels=[16, 16],
    )
    conf = dict(matching=matching, layers=2)
    student = student_of_itself(
        encoder("latest", structure=widths), conf, gated=True, widths=widths
    )
    seen = []
    hook = next(hook for hook in student.hooks if hook.name == "distill")
    original = hook.match
    hook.match = lambda *args: seen.append(original(*args)) or seen[-1]
    assert_same_then_disturbed(student)
    assert seen[0] == [(0, 0), (1, 1)]


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("name", ["base", "wavlm", "e_branchformer"])
def test_a_skipped_block_hands_on_its_input(name, gated):
    """Block numbers are kept, and what is compared is what the student has there."""
    conf = dict(UNLABELLED, matching="fixed", layers=[0, 1, 2], distance="mse")
    student = student_of_itself(encoder(name, layer_drop_rate=0.5), conf, gated=gated)
    outputs, numbers = [], set()
    for number, block in enumerate(student.encoder.encoders):
        block.register_forward_hook(
            lambda module, args, output, n=number: outputs.append(n)
        )
    for seed in range(12):
        outputs.clear()
        found = losses(student, seed)["kd_layer"]
        numbers.add(tuple(outputs))
        assert (found < 1e-6) is (outputs == [0, 1, 2]), (outputs, found)
    assert len(numbers) > 4 and any(0 not in ran for ran in numbers)


def test_what_a_skipped_block_hands_on():
    from espnet_prune.distill.capture import Capture

    student = student_of_itself(encoder("base", layer_drop_rate=0.5), UNLABELLED)
    ran = []
    for number, block in enumerate(student.encoder.encoders):
        block.register_forward_hook(
            lambda module, args, output, n=number: ran.append((n, output[0]))
        )
    for seed in range(8):
        ran.clear()
        torch.manual_seed(seed)
        with Capture(student) as seen:
            student.encode(torch.randn(2, 6000), torch.tensor([6000, 5000]))
        outputs, present = dict(ran), seen.block_input
        for number, block in enumerate(seen.blocks):
            present = outputs.get(number, present)
            assert torch.equal(block, present)


def test_layers_of_which_nothing_is_left_are_refused():
    widths = dict(
        kept_blocks=[0, 1, 2], attention_heads=[4, 4, 0], linear_units=[24, 24, 0]
    )
    conf = dict(matching="fixed", layers=[2])
    with pytest.raises(UserError, match=r"layers \[2\] nothing is left.*nearest"):
        student_of_itself(encoder("transformer"), conf, widths=widths)

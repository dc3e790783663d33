# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Our encoder computes what torchaudio's models do, from any format of weights."""

import argparse
import json
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchaudio.models import wav2vec2_model, wavlm_model

from espnet_prune import UserError, unit_graph
from espnet_prune.checkpoints import read_safetensors
from espnet_prune.compat import TooShortUttError
from espnet_prune.encoders.speech_models import shortest_speech
from test.espnet_prune.encoder_zoo import SPEECH, pruned_class, randomise

LARGE = ("large", "wavlm_large")


def theirs(variant):
    """Return torchaudio's model of a variant's sizes, with random weights."""
    torch.manual_seed(0)
    conf = SPEECH[variant]
    large, gated = variant in LARGE, "wavlm" in variant
    buckets = dict(encoder_num_buckets=8, encoder_max_distance=20) if gated else {}
    model = (wavlm_model if gated else wav2vec2_model)(
        extractor_mode="layer_norm" if large else "group_norm",
        extractor_conv_layer_config=conf["conv_layers"],
        extractor_conv_bias=variant == "large",
        encoder_embed_dim=conf["output_size"],
        encoder_projection_dropout=0.1,
        encoder_pos_conv_kernel=conf["pos_conv_kernel"],
        encoder_pos_conv_groups=conf["pos_conv_groups"],
        encoder_num_layers=conf["num_blocks"],
        encoder_num_heads=conf["attention_heads"],
        encoder_attention_dropout=0.1,
        encoder_ff_interm_features=conf["linear_units"],
        encoder_ff_interm_dropout=0.1,
        encoder_dropout=0.1,
        encoder_layer_norm_first=large,
        encoder_layer_drop=0.1,
        aux_num_out=7,
        **buckets,
    )
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("gru_rel_pos_const"):
                p.add_(torch.rand(p.shape))
    return randomise(model)


def encoder(variant, weights, **more):
    make = pruned_class("wav2vec2")
    conf = dict(SPEECH[variant], normalize_waveform=False)
    return make(weights=str(weights), **{**conf, **more}).eval()


@torch.no_grad()
def assert_equal(ours, model):
    generator = torch.Generator().manual_seed(1)
    # torchaudio's WavLM takes no padded batches
    padded = ours.embed.positions is None
    for lengths in ([9000, 6100, 7777] if padded else [9000], [5000]):
        wave = torch.randn(len(lengths), max(lengths), generator=generator)
        for row, length in enumerate(lengths):
            wave[row, length:] = 0
        lengths = torch.tensor(lengths)
        expected, olens = model(wave, lengths if padded else None)
        got, found, _ = ours(wave[..., None], lengths)
        assert got.shape[:2] == expected.shape[:2]
        if padded:
            assert found.tolist() == olens.tolist()
        for row, length in enumerate(found.tolist()):
            diff = model.aux(got)[row, :length] - expected[row, :length]
            assert diff.abs().max() <= 1e-6


def fairseq_names(state, gated):
    """Rename as fairseq and WavLM's authors do."""
    found = {}
    for key, value in state.items():
        key = key.replace(
            "encoder.transformer.pos_conv_embed.conv", "encoder.pos_conv.0"
        )
        key = key.replace("encoder.feature_projection.projection", "post_extract_proj")
        key = key.replace("encoder.feature_projection.layer_norm", "layer_norm")
        key = key.replace("encoder.transformer.", "encoder.")
        key = re.sub(r"(conv_layers\.\d+)\.conv", r"\1.0", key)
        norm = (
            r"\1.2"
            if "conv_layers.1.layer_norm.bias" not in str(list(state))
            else r"\1.2.1"
        )
        key = re.sub(r"(conv_layers\.\d+)\.layer_norm", norm, key)
        key = key.replace("parametrizations.weight.original0", "weight_g")
        key = key.replace("parametrizations.weight.original1", "weight_v")
        if re.search(r"layers\.\d+\.(layer_norm|attention|feed)", key):
            key = re.sub(r"(layers\.\d+)\.layer_norm", r"\1.self_attn_layer_norm", key)
            key = key.replace("feed_forward.intermediate_dense", "fc1")
            key = key.replace("feed_forward.output_dense", "fc2")
            key = key.replace("attention.attention.", "attention.")
            key = key.replace("rel_attn_embed", "relative_attention_bias")
            key = key.replace("gru_rel_pos_linear", "grep_linear")
            key = key.replace("gru_rel_pos_const", "grep_a")
            key = key.replace("attention.", "self_attn.").replace(
                "relative_self_attn.", "relative_attention_"
            )
        if ".in_proj_" in key:
            for name, part in zip("qkv", value.chunk(3)):
                found[key.replace("in_proj_", f"{name}_proj.")] = part
        elif not key.startswith("aux."):
            found[key] = value
    return found


def hugging_face_names(state, prefix):
    found = {}
    for key, value in state.items():
        key = key.replace("encoder.transformer.", "encoder.")
        key = key.replace("encoder.feature_projection.", "feature_projection.")
        if ".in_proj_" in key:
            for name, part in zip("qkv", value.chunk(3)):
                own = key.replace(
                    "attention.attention.in_proj_", f"attention.{name}_proj."
                )
                found[f"{prefix}.{own}"] = part
        elif key.startswith("aux."):
            found[key.replace("aux", "lm_head")] = value
        else:
            found[f"{prefix}.{key.replace('attention.attention.', 'attention.')}"] = (
                value
            )
    found[f"{prefix}.masked_spec_embed"] = torch.full((16,), 0.25)
    return found


def write_directory(folder, variant, state, **changed):
    """Write what `save_pretrained` writes."""
    conf, gated = SPEECH[variant], "wavlm" in variant
    channels, kernels, strides = zip(*conf["conv_layers"])
    config = dict(
        model_type="wavlm" if gated else "wav2vec2",
        hidden_size=16,
        num_attention_heads=4,
        intermediate_size=24,
        num_hidden_layers=3,
        do_stable_layer_norm=variant in LARGE,
        feat_extract_norm="layer" if variant in LARGE else "group",
        conv_bias=variant == "large",
        conv_dim=channels,
        conv_kernel=kernels,
        conv_stride=strides,
        num_conv_pos_embeddings=conf["pos_conv_kernel"],
        num_conv_pos_embedding_groups=4,
        num_buckets=8 if gated else 320,
        max_bucket_distance=20 if gated else 800,
    )
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    named = hugging_face_names(state, config["model_type"])
    named = {key: value.detach().contiguous() for key, value in named.items()}
    save_file(named, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("variant", SPEECH)
def test_equals_torchaudio_from_every_format(variant, tmp_path):
    model = theirs(variant)
    state, pth = model.state_dict(), tmp_path / "model.pth"
    torch.save(state, pth)
    ours = encoder(variant, pth)
    assert_equal(ours, model)
    expected = ours.state_dict()
    fairseq = fairseq_names(state, "wavlm" in variant)
    args = argparse.Namespace(arch="wav2vec2")
    torch.save({"model": fairseq, "args": args}, tmp_path / "fairseq.pt")
    directory = write_directory(tmp_path / "hf", variant, state)
    wrapped = {"state_dict": hugging_face_names(state, "wav2vec2"), "config": {"a": 1}}
    torch.save(wrapped, tmp_path / "wrapped.pth")
    for source in (tmp_path / "fairseq.pt", directory, tmp_path / "wrapped.pth"):
        found = encoder(variant, source).state_dict()
        assert list(found) == list(expected)
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    masking = encoder(variant, directory, mask_time_prob=0.5)
    assert (masking.embed.mask_embedding == 0.25).all()


@pytest.mark.parametrize("left_over", [False, True])
def test_the_mask_of_models_of_2021(left_over, tmp_path):
    state = hugging_face_names(theirs("base").state_dict(), "wav2vec2")
    mask = state["wav2vec2.masked_spec_embed"]
    state["wav2vec2.mask_time_emb_vector"] = torch.zeros(16) if left_over else mask
    if not left_over:
        del state["wav2vec2.masked_spec_embed"]
    torch.save(state, tmp_path / "model.bin")
    masking = encoder("base", tmp_path / "model.bin", mask_time_prob=0.5)
    assert torch.equal(masking.embed.mask_embedding.flatten(), mask)


def test_bundle(tmp_path, monkeypatch):
    import torchaudio

    model = theirs("base")
    bundle = torchaudio.pipelines.WAV2VEC2_BASE
    monkeypatch.setattr(type(bundle), "get_model", lambda self: model)
    assert_equal(encoder("base", "WAV2VEC2_BASE"), model)
    with pytest.raises(UserError, match="no bundle"):
        encoder("base", "WAV2VEC2_BASS")


def test_weights_of_another_model_are_refused(tmp_path):
    state = theirs("base").state_dict()
    whisper = write_directory(tmp_path / "a", "base", state, model_type="whisper")
    wide = write_directory(tmp_path / "b", "base", state, num_attention_heads=2)
    convs = write_directory(tmp_path / "c", "base", state, conv_kernel=[10, 8, 4])
    good = write_directory(tmp_path / "d", "base", state)
    for folder, variant, reason in (
        (whisper, "base", "of type 'whisper'; only wav2vec2, hubert, wavlm"),
        (wide, "base", "set attention_heads: 2 in encoder_conf"),
        (
            convs,
            "base",
            r"set conv_layers: \[\[12, 10, 5\], \[10, 8, 8\], \[14, 4, 8\]",
        ),
        (good, "wavlm", "set model in encoder_conf to a wav2vec2 or hubert one"),
        (good, "large", "set pos_conv_kernel: 8|normalize_before: false"),
    ):
        with pytest.raises(UserError, match=reason):
            encoder(variant, folder)
    (good / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    with pytest.raises(UserError, match="speech at 8000 Hz"):
        encoder("base", good)
    (good / "preprocessor_config.json").unlink()
    (good / "model.safetensors").write_bytes(b"\x40" + bytes(7) + b"{")
    with pytest.raises(UserError, match="not a readable .safetensors"):
        read_safetensors(good / "model.safetensors")
    (good / "model.safetensors").unlink()
    with pytest.raises(UserError, match="neither model.safetensors nor"):
        encoder("base", good)
    del state["encoder.transformer.layers.1.final_layer_norm.bias"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UserError, match="lacks encoders.1.norm2.bias"):
        encoder("base", tmp_path / "part.pth")
    torch.save({"model": state, "cfg": nn.Linear(1, 1)}, tmp_path / "code.pt")
    with pytest.raises(
        UserError, match="torch.nn.modules.linear.Linear, .* weights alone"
    ):
        encoder("base", tmp_path / "code.pt")


def test_bad_arguments_are_refused():
    make = pruned_class("wav2vec2")
    for conf, reason in (
        ({"fs": 8000}, "fs 8000 is not 16000; resample"),
        ({"model": "hubert_bse"}, "did you mean 'hubert_base'"),
        ({"num_block": 2}, "did you mean 'num_blocks'"),
        ({"attention_heads": 5}, "does not divide"),
        ({"extractor_mode": "batch_norm"}, "neither group_norm nor layer_norm"),
        ({"conv_layers": [[4, 2]]}, "must list"),
        ({"input_size": 80}, "set frontend: null and input_size: 1"),
        ({"interctc_layer_idx": [3]}, "interctc_layer_idx 3 is not between 1 and 2"),
    ):
        with pytest.raises(UserError, match=reason):
            make(**{**SPEECH["base"], **conf})
    with pytest.raises(UserError, match="give one channel"):
        make(**SPEECH["base"])(torch.randn(1, 9000, 2), torch.tensor([9000]))


def test_speech_that_is_too_short_is_told():
    ours = pruned_class("wav2vec2")(**SPEECH["base"]).eval()
    shortest = ours.embed.shortest()
    assert shortest == shortest_speech(SPEECH["base"])
    assert shortest_speech({"model": "hubert_large"}) == 400
    wave = torch.randn(2, shortest + 500)
    assert ours(wave, torch.tensor([shortest + 500, shortest]))[1].tolist()[1] == 1
    with pytest.raises(UserError, match=f"shorter than {shortest} samples") as info:
        ours(wave, torch.tensor([shortest + 500, shortest - 1]))
    assert f"an utterance of {shortest - 1} samples gives no frame" in str(info.value)
    # as ESPnet's decoding expects it, which goes on with the next utterance
    assert isinstance(info.value, TooShortUttError)


@pytest.mark.parametrize("variant", ["base", "large", "wavlm"])
def test_intermediate_ctc(variant):
    make, conf = pruned_class("wav2vec2"), dict(SPEECH[variant], layer_drop_rate=0.9)
    ours = make(**conf, interctc_layer_idx=[1, 2]).eval()
    plain = make(**conf).eval()
    plain.load_state_dict(ours.state_dict())
    wave, lengths = torch.randn(2, 9000), torch.tensor([9000, 8000])
    (output, taps), olens, _ = ours(wave, lengths)
    assert [block for block, _ in taps] == [1, 2]
    assert torch.equal(output, plain(wave, lengths)[0])
    for block, tap in taps:  # what a model of so many blocks would say
        plain.encoders = type(ours.encoders)(*list(ours.encoders)[:block])
        assert torch.equal(tap, plain(wave, lengths)[0])
    ours.train()
    torch.manual_seed(0)
    calls = []
    for block in ours.encoders:
        block.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(20):
        (output, taps), _, _ = ours(wave, lengths)
        assert len(taps) == 2 and taps[0][1].shape == output.shape
    assert 0 < len(calls) < 25
    small = make(**conf, interctc_layer_idx=[1, 2], structure={"kept_blocks": [0, 2]})
    assert small.interctc_layer_idx == [1]


def test_a_cut_model_reads_no_weights():
    widths = {"wave_channels": [3, 4, 5], "kept_blocks": [1]}
    conf = dict(SPEECH["base"], weights="gone", structure=widths)
    small = pruned_class("wav2vec2")(**conf)
    assert unit_graph(small).dense["encoder"].front["wave_channels"] == [3, 4, 5]


def test_training_hides_spans_and_leaves_out_blocks():
    make, wave = pruned_class("wav2vec2"), torch.randn(2, 9000)
    lengths = torch.tensor([9000, 8000])
    torch.manual_seed(0)
    ours = make(
        **SPEECH["base"],
        mask_time_prob=0.4,
        mask_time_length=3,
        mask_channel_prob=0.3,
        mask_channel_length=2,
        layer_drop_rate=0.5,
        freeze_cnn=True,
    )
    plain = make(**SPEECH["base"])
    plain.load_state_dict(ours.state_dict(), strict=False)
    ours.eval(), plain.eval()
    assert torch.equal(ours(wave, lengths)[0], plain(wave, lengths)[0])
    ours.train()
    calls = []
    for block in ours.encoders:
        block.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(20):
        ours(wave, lengths)[0].sum().backward()
    assert 10 < len(calls) < 50
    assert ours.embed.mask_embedding.grad.abs().max() > 0
    assert all(p.grad is None for p in ours.embed.extractor.parameters())
    assert ours.embed.projection.projection.weight.grad is not None

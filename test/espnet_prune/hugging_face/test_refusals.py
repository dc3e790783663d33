# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Directories of transformers that are not taken over are told, in a sentence."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from espnet_prune.bin import deploy
from espnet_prune.checkpoints import read_safetensors
from espnet_prune.hugging_face.directory import read_directory
from espnet_prune.hugging_face.experiment import token_list
from espnet_prune.source import find_model
from espnet_prune.utils import UserError, read_json, read_mapping, run_main, write_json

HERE = Path(__file__).parent


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(HERE / "wav2vec2", tmp_path / "model"))


def change(name, **values):
    """Return what changes keys of a JSON file; None takes one away."""

    def changed(folder):
        found = {**read_json(folder / name), **values}
        write_json({k: v for k, v in found.items() if v is not None}, folder / name)

    return changed


def remove(name):
    return lambda folder: (folder / name).unlink()


def features(**values):
    """Return what changes keys of the feature extractor."""

    def changed(folder):
        found = read_json(folder / "processor_config.json")
        found["feature_extractor"].update(values)
        write_json(found, folder / "processor_config.json")

    return changed


def without_head(folder):
    state = read_safetensors(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    state = {k: v for k, v in state.items() if not k.startswith("lm_head")}
    torch.save(state, folder / "pytorch_model.bin")


BAD = [
    (remove("vocab.json"), "no vocab.json is there"),
    (remove("processor_config.json"), "no preprocessor_config.json with do_normalize"),
    (remove("model.safetensors"), "neither model.safetensors nor pytorch_model.bin"),
    (without_head, "has no lm_head"),
    (features(sampling_rate=8000), "sampling_rate 8000; only models for 16000 Hz"),
    (features(feature_extractor_type="SeamlessM4TFeatureExtractor"), "SeamlessM4T"),
    (change("config.json", architectures=["Wav2Vec2Model"]), "Wav2Vec2Model; give a"),
    (change("config.json", architectures=None), "has architectures none"),
    (change("config.json", add_adapter=True), "add_adapter True"),
    (change("config.json", adapter_attn_dim=16), "adapter_attn_dim 16"),
    (change("config.json", vocab_size=13), "has 12 tokens .* the head has 13"),
    (change("config.json", hidden_act="relu"), "hidden_act 'relu'.*with 'gelu'"),
    (change("config.json", layer_norm_eps=1e-6), "layer_norm_eps 1e-06"),
    (change("config.json", pad_token_id=2), "pad_token_id 2 .* which is 0"),
    (change("config.json", hidden_size=32), "has another shape for.*fit config.json"),
    (change("config.json", num_hidden_layers=3), "encoders.2.*fit config.json"),
    (change("tokenizer_config.json", tokenizer_class="X"), "tokenizer_class 'X'"),
    (change("tokenizer_config.json", pad_token="<pad>"), "have pad_token '<pad>'"),
    (
        lambda folder: write_json([], folder / "config.json"),
        "config.json is no mapping",
    ),
    (change("vocab.json", T=None, th=8), "'th', which is more than a character"),
    (change("vocab.json", **{"T": None, " ": 8}), "two tokens .* be '<space>'"),
    (change("vocab.json", **{"T": None, "<sos/eos>": 8}), "two .* '<sos/eos>'"),
    (change("vocab.json", deu={"a": 1}), "as for several languages"),
]


@pytest.mark.parametrize("spoil, said", BAD, ids=[said[:30] for _, said in BAD])
def test_what_is_not_taken_over_is_told(copy, tmp_path, spoil, said):
    spoil(copy)
    with pytest.raises(UserError, match=said):
        find_model(str(copy), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_commands_end_with_code_2_and_a_sentence(copy, tmp_path, capsys):
    (copy / "vocab.json").unlink()
    args = ["--model", str(copy), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as end:
        run_main(lambda: deploy.main(args))
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and "no vocab.json" in line
    assert not (tmp_path / "out").exists()


def test_files_of_older_versions(copy, tmp_path):
    extractor = read_json(copy / "processor_config.json")["feature_extractor"]
    (copy / "processor_config.json").unlink()
    write_json({**extractor, "do_normalize": False}, copy / "preprocessor_config.json")
    state = read_safetensors(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    half = {key: value.half() for key, value in state.items()}
    torch.save(half, copy / "pytorch_model.bin")
    named = {"content": "[PAD]", "lstrip": True}
    change("tokenizer_config.json", pad_token=None)(copy)
    write_json({"pad_token": named}, copy / "special_tokens_map.json")
    found = find_model(str(copy), tmp_path / "out")
    conf = read_mapping(found.config)["encoder_conf"]
    assert conf["normalize_waveform"] is False and "waveform_eps" not in conf
    weights = torch.load(found.model_file)
    head = weights["ctc.ctc_lo.weight"][:2]
    assert torch.equal(head, half["lm_head.weight"][[0, 3]].float())


def test_tokens_that_were_added_without_a_row_are_left_out(copy):
    write_json({"<new>": 12}, copy / "added_tokens.json")
    assert "<new>" not in read_directory(copy).tokens
    vocabulary = read_json(copy / "vocab.json")
    del vocabulary["'"]
    (copy / "vocab.json").write_text(json.dumps(vocabulary))
    write_json({"<new>": 11}, copy / "added_tokens.json")
    assert read_directory(copy).tokens[-1] == "<new>"


def test_letters_are_lower_where_the_tokenizer_makes_them_so(copy):
    change("tokenizer_config.json", do_lower_case=True)(copy)
    tokens, rows = token_list(read_directory(copy))
    assert tokens[:2] == ["<blank>", "<unk>"]
    assert tokens[2:] == ["<s>", "</s>", "<space>", *"eastno'", "<sos/eos>"]
    assert rows == [0, 3, 1, 2, *range(4, 12), -1]

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make the directories beside this file by transformers, which tests do not need.

    pip install transformers; python test/espnet_prune/hugging_face/make.py

Each has a tiny model with random weights, its processor as `save_pretrained` writes
both, and expected.npz: log-probabilities of each utterance alone and of all as one
padded batch with an attention mask, and what the processor makes of the best paths.
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import (
    HubertConfig,
    HubertForCTC,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
    WavLMConfig,
    WavLMForCTC,
)

from test.espnet_prune.hugging_face.waves import waves

HERE = Path(__file__).parent
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
# a blank at the beginning, at the end, and in the midst of the vocabulary
VOCABULARIES = {
    "wav2vec2": ["[PAD]", "<s>", "</s>", "[UNK]", "|", *"EASTNO'"],
    "hubert": [*"abcdeé", "|", "[UNK]", "[PAD]"],
    "wavlm": [*"XYZ", "|", "<pad>", "<unk>", *"ABCD"],
}
MODELS = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2ForCTC, {**LARGE, "conv_bias": True}, True),
    "hubert": (HubertConfig, HubertForCTC, {}, False),
    "wavlm": (WavLMConfig, WavLMForCTC, {"num_buckets": 8, **LARGE}, True),
}


def make(name):
    """Write one directory."""
    config_class, model_class, more, normalize = MODELS[name]
    tokens, folder = VOCABULARIES[name], HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    pad = "<pad>" if name == "wavlm" else "[PAD]"
    tokenizer = Wav2Vec2CTCTokenizer(
        str(folder / "vocab.json"),
        bos_token="<s>" if "<s>" in tokens else None,
        eos_token="</s>" if "</s>" in tokens else None,
        unk_token="<unk>" if name == "wavlm" else "[UNK]",
        pad_token=pad,
        word_delimiter_token="|",
    )
    extractor = Wav2Vec2FeatureExtractor(
        do_normalize=normalize, return_attention_mask=True
    )
    processor = Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)
    config = config_class(
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=24,
        num_hidden_layers=2,
        conv_dim=(12, 10, 14),
        conv_kernel=(10, 8, 4),
        conv_stride=(5, 8, 8),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        vocab_size=len(tokens),
        pad_token_id=tokens.index(pad),
        **more,
    )
    torch.manual_seed(0)
    model = model_class(config).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            value.add_(0.1 * torch.randn(value.shape))
            if key == "lm_head.weight":
                value.mul_(8)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    write_expected(model, processor, folder)


@torch.no_grad()
def write_expected(model, processor, folder):
    """Write what the model says."""

    def hear(audio):
        given = processor(audio, sampling_rate=16000, return_tensors="pt", padding=True)
        return model(**given).logits.log_softmax(-1)

    found = {f"alone_{i}": hear(wave)[0] for i, wave in enumerate(waves())}
    texts = [processor.decode(x.argmax(-1)) for x in found.values()]
    found["batch"] = hear(waves())
    for array, text in zip(found.values(), texts):
        print(folder.name, array.shape, repr(text))
    arrays = {key: value.numpy() for key, value in found.items()}
    np.savez_compressed(folder / "expected.npz", texts=np.array(texts), **arrays)


if __name__ == "__main__":
    for name in MODELS:
        make(name)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""wav2vec 2.0, HuBERT and WavLM: convolutions over raw speech, Transformer blocks."""

from typing import Any, Dict, Mapping, Optional

from torch import nn

from espnet_prune.compat import ConformerEncoderLayer
from espnet_prune.families.conformer import Conformer
from espnet_prune.families.encoder import EncoderFamily, Modules
from espnet_prune.families.transformer import Transformer
from espnet_prune.price import Clock
from espnet_prune.structure import Stack
from espnet_prune.units.gated import GatedAttention
from espnet_prune.units.pricing import Parts
from espnet_prune.units.wave import WaveEmbed, wave_units

FRAME_SAMPLES = 160  # of raw speech at 16 kHz: what counts as one frame


class Wav2Vec2(EncoderFamily):
    """Our `pruned_wav2vec2`; ESPnet has no such encoder."""

    pruned = "pruned_wav2vec2"
    frame_samples = FRAME_SAMPLES

    def fits(self, module: nn.Module) -> bool:
        """Say whether an encoder takes raw speech."""
        return isinstance(getattr(module, "embed", None), WaveEmbed)

    def modules_of(self, block: nn.Module) -> Modules:
        """Return the modules of a block; WavLM's blocks, which hand positions on, are
        a Conformer's.
        """
        kind = Conformer if isinstance(block, ConformerEncoderLayer) else Transformer
        return kind.modules

    def more(self, parts: Parts, path: str, block: nn.Module, index: int) -> None:
        """Name the heads of a WavLM."""
        super().more(parts, path, block, index)
        attention = block.self_attn
        if isinstance(block, ConformerEncoderLayer):
            names = parts.names.setdefault("attention_heads", [])
            there = isinstance(attention, GatedAttention)
            names.append(list(attention.heads) if there else [])

    def _add_embed(self, parts: Parts, module: nn.Module) -> None:
        embed, layers = module.embed, list(module.embed.extractor.conv_layers)
        parts.input_size = 1
        parts.clock = Clock(
            self.frame_samples,
            tuple((layer.kernel_size, layer.stride) for layer in layers),
            {f"conv{i}": ((1, i + 1, 1, 0),) for i in range(len(layers))},
        )
        for i in range(len(layers)):
            parts.uses[f"embed.extractor.conv_layers.{i}.conv"] = f"conv{i}"
        self.add_positions(parts, "embed.pos_conv.conv", embed.pos_conv.conv)
        parts.units += wave_units("embed", embed)
        parts.front["wave_channels"] = [layer.conv.out_channels for layer in layers]
        parts.front_paths = ("embed.extractor", "embed.projection")

    def samples(self, module: nn.Module) -> int:
        """Return how many samples count as one frame."""
        return self.frame_samples

    def stock_conf(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> Optional[Dict[str, Any]]:
        """Return None: there is no stock class."""
        return None

    def pruned_conf(self, conf: Mapping[str, Any], kept: Stack) -> Dict[str, Any]:
        """Return the arguments of our class, which need no published weights now."""
        conf = {key: value for key, value in conf.items() if key != "weights"}
        return super().pruned_conf(conf, kept)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""wav2vec 2.0, HuBERT and WavLM as an encoder of ESPnet: raw speech in."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import nn
from torchaudio.models import wav2vec2_model

from espnet_prune.compat import (
    ConformerEncoderLayer,
    MultiHeadedAttention,
    MultiSequential,
    PositionwiseFeedForward,
    TooShortUttError,
    TransformerEncoderLayer,
)
from espnet_prune.encoders import torchaudio_hubert
from espnet_prune.encoders.speech_models import RATES, SpeechModel, speech_model
from espnet_prune.encoders.weights import load_weights
from espnet_prune.units.gated import GatedAttention, RelativePositions
from espnet_prune.units.wave import WaveEmbed
from espnet_prune.utils import UserError

EPS = 1e-5  # of all norms; ESPnet's own is 1e-12


class ShortUtterance(UserError, TooShortUttError):
    """An utterance that gives no frame; ESPnet's decoding warns of it and goes on."""

    def __init__(self, length: int, shortest: int) -> None:
        TooShortUttError.__init__(
            self,
            f"an utterance of {length} samples gives no frame; leave out all that are "
            f"shorter than {shortest} samples ({shortest / 16:.0f} ms)",
            length,
            shortest,
        )


class Wav2Vec2Encoder(AbsEncoder):
    """wav2vec 2.0, HuBERT or WavLM (Baevski et al. 2020, Hsu et al. 2021, Chen 2022).

    The front end consists of torchaudio's modules; the blocks are ESPnet's, which for
    the same weights compute the same. The experiment's configuration says
    `frontend: null`, `input_size: 1`, `specaug: null` and `normalize: null`.

    Args:
        input_size: 1, the width of raw speech.
        model: Whose sizes to take: wav2vec2_base, wav2vec2_large, wav2vec2_large_lv60k,
            hubert_base, hubert_large, hubert_xlarge, wavlm_base or wavlm_large.
        weights: Where to take the weights from: the name of a bundle of
            `torchaudio.pipelines` (it is downloaded), the directory of a Hugging Face
            model, or a checkpoint of fairseq, torchaudio or WavLM's authors. None
            leaves random weights, e.g. because a checkpoint is loaded afterwards.
        fs: Sampling rate of the speech; these models know 16000 only.
        freeze_cnn: Whether the convolutions over the waveform are not trained. Gates
            on their channels still are; but pruned channels are better made up for if
            the convolutions are trained.
        layer_drop_rate: Probability of leaving a block out in a training step, without
            scaling the others, as these models were trained.
        dropout_rate: Dropout after every module.
        attention_dropout_rate: Dropout on attention weights.
        ff_dropout_rate: Dropout inside feed-forwards.
        projection_dropout_rate: Dropout after the projection of the features.
        mask_time_prob: Share of the frames to hide behind a learned vector in training.
        mask_time_length: Frames of one span.
        mask_channel_prob: Share of the channels to set to 0 in training.
        mask_channel_length: Channels of one span.
        interctc_layer_idx: Blocks, counted from 1, whose output intermediate CTC reads
            in training, as in ESPnet's Transformer; `model_conf` gives its weight. It
            helps models that are trained from random weights.
        **sizes: Sizes that differ from `model`'s; see `SpeechModel`.

    Raises:
        UserError: Another input size or sampling rate, an unknown model or key, sizes
            that do not fit together, intermediate CTC after the last block or beyond,
            or weights that are missing or do not fit.
    """

    def __init__(
        self,
        input_size: int = 1,
        model: str = "wav2vec2_base",
        weights: Optional[str] = None,
        fs: Union[int, str] = 16000,
        freeze_cnn: bool = False,
        layer_drop_rate: float = 0.0,
        dropout_rate: float = 0.1,
        attention_dropout_rate: float = 0.1,
        ff_dropout_rate: float = 0.0,
        projection_dropout_rate: float = 0.1,
        mask_time_prob: float = 0.0,
        mask_time_length: int = 10,
        mask_channel_prob: float = 0.0,
        mask_channel_length: int = 10,
        interctc_layer_idx: Sequence[int] = (),
        **sizes: Any,
    ) -> None:
        if input_size != 1:
            raise UserError(
                f"encoder_conf: this encoder reads raw speech, not {input_size} "
                "features; set frontend: null and input_size: 1"
            )
        if str(fs) not in RATES:
            raise UserError(
                f"encoder_conf: fs {fs} is not 16000; resample the speech to 16 kHz, "
                "which these models were trained on"
            )
        conf = speech_model(model, sizes)
        for tap in interctc_layer_idx:
            if not 0 < tap < conf.num_blocks:
                raise UserError(
                    f"encoder_conf: interctc_layer_idx {tap} is not between 1 and "
                    f"{conf.num_blocks - 1}, the blocks before the last one"
                )
        super().__init__()
        self.conf = conf
        self.interctc_layer_idx = list(interctc_layer_idx)
        self.interctc_use_conditioning = False
        self.normalize_before = conf.normalize_before
        self.layer_drop_rate = layer_drop_rate
        self._size = conf.output_size
        self.embed = _embed(
            conf,
            projection_dropout_rate,
            dropout_rate=dropout_rate,
            mask_time=(mask_time_prob, mask_time_length),
            mask_channel=(mask_channel_prob, mask_channel_length),
        )
        rates = dropout_rate, attention_dropout_rate, ff_dropout_rate
        blocks = [_block(conf, *rates) for _ in range(conf.num_blocks)]
        self.encoders = MultiSequential(*blocks, layer_drop_rate=layer_drop_rate)
        if conf.normalize_before:
            self.after_norm = nn.LayerNorm(conf.output_size)
        if weights is not None:
            load_weights(self, conf, weights)
        if freeze_cnn:
            self.embed.extractor.requires_grad_(False)

    def output_size(self) -> int:
        """Return the width of the output."""
        return self._size

    def renamed(
        self, state: Mapping[str, torch.Tensor], prefix: str
    ) -> Dict[str, torch.Tensor]:
        """Give tensors of ESPnet's `torchaudiohubert` the names that they have here.

        Args:
            state: A state dict; one that has none of their names stays as it is.
            prefix: What stands before the names of this module's tensors.
        """
        return torchaudio_hubert.renamed(state, prefix, self)

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        prev_states: Optional[torch.Tensor] = None,
    ) -> Tuple[Any, torch.Tensor, None]:
        """Encode raw speech.

        Args:
            xs_pad: (N, samples) or (N, samples, 1).
            ilens: (N,).
            prev_states: Not used.

        Returns:
            Output (N, T, d), lengths (N,), None. With intermediate CTC the first is
            (output, [(block, its output (N, T, d)), ...]), as in ESPnet's encoders.

        Raises:
            ShortUtterance: An utterance that gives no frame.
            UserError: Speech of several channels.
        """
        x, masks = self.embed(self.wave_of(xs_pad, ilens), ilens)
        taps: List[Tuple[int, torch.Tensor]] = []
        if not self.interctc_layer_idx:
            x, masks = self.encoders(x, masks)
        else:
            skipped = torch.rand(len(self.encoders)) < self.layer_drop_rate
            for i, block in enumerate(self.encoders, start=1):
                if not (self.training and skipped[i - 1]):
                    x, masks = block(x, masks)[:2]
                if i in self.interctc_layer_idx:
                    taps.append((i, self._normed(x)))
        output = self._normed(x)
        lengths = masks.squeeze(1).sum(1)
        return ((output, taps) if taps else output), lengths, None

    def wave_of(self, wave: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return speech (N, samples) of (N, samples), or of (N, samples, 1).

        Raises:
            ShortUtterance: An utterance that gives no frame.
            UserError: Speech of several channels.
        """
        if wave.dim() == 3:
            if wave.size(2) != 1:
                raise UserError(
                    f"speech of {wave.size(2)} channels came in; give one channel"
                )
            wave = wave.squeeze(2)
        length, shortest = int(lengths.min()), self.embed.shortest()
        if length < shortest:
            raise ShortUtterance(length, shortest)
        return wave

    def _normed(self, x: Any) -> torch.Tensor:
        """Return the output that belongs to the residual stream after a block."""
        if isinstance(x, tuple):  # with WavLM's relative positions
            x = x[0]
        return self.after_norm(x) if self.normalize_before else x


def _embed(conf: SpeechModel, projection_dropout_rate: float, **more: Any) -> WaveEmbed:
    built = wav2vec2_model(
        extractor_mode=conf.extractor_mode,
        extractor_conv_layer_config=list(conf.conv_layers),
        extractor_conv_bias=conf.conv_bias,
        encoder_embed_dim=conf.output_size,
        encoder_projection_dropout=projection_dropout_rate,
        encoder_pos_conv_kernel=conf.pos_conv_kernel,
        encoder_pos_conv_groups=conf.pos_conv_groups,
        encoder_num_layers=0,  # the blocks are ESPnet's
        encoder_num_heads=conf.attention_heads,
        encoder_attention_dropout=0.0,
        encoder_ff_interm_features=conf.linear_units,
        encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.0,
        encoder_layer_norm_first=conf.normalize_before,
        encoder_layer_drop=0.0,
        aux_num_out=None,
    )
    transformer, positions = built.encoder.transformer, None
    if conf.gated:
        positions = RelativePositions(
            conf.attention_heads, conf.num_buckets, conf.max_distance
        )
    return WaveEmbed(
        extractor=built.feature_extractor,
        projection=built.encoder.feature_projection,
        pos_conv=transformer.pos_conv_embed,
        norm=nn.Identity() if conf.normalize_before else transformer.layer_norm,
        positions=positions,
        normalize_waveform=conf.normalize_waveform,
        waveform_eps=conf.waveform_eps,
        **more,
    )


def _block(
    conf: SpeechModel, dropout: float, attention_dropout: float, ff_dropout: float
) -> nn.Module:
    d, heads = conf.output_size, conf.attention_heads
    feed_forward = PositionwiseFeedForward(d, conf.linear_units, ff_dropout, nn.GELU())
    if conf.gated:
        # ESPnet's Conformer block hands positional embeddings on; without macaron
        # feed-forward and convolution it is a Transformer block
        attention = GatedAttention(heads, d, attention_dropout)
        block = ConformerEncoderLayer(
            d, attention, feed_forward, None, None, dropout, conf.normalize_before
        )
    else:
        attention = MultiHeadedAttention(heads, d, attention_dropout, use_sdpa=True)
        block = TransformerEncoderLayer(
            d, attention, feed_forward, dropout, conf.normalize_before
        )
    for module in block.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = EPS
    return block

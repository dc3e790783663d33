# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's hybrid CTC/attention model plus gates and distillation while training."""

import logging
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet_prune.distill import losses, matching
from espnet_prune.distill.capture import Capture
from espnet_prune.distill.config import DistillConf
from espnet_prune.distill.teacher import Teacher, TeacherOutput
from espnet_prune.structure import BLOCK_FIELDS
from espnet_prune.train.hooks import GateHook, MeansHook, TrainHook
from espnet_prune.train.loss_means import LossMeans
from espnet_prune.train.ranks import Part, mean_over_ranks, share
from espnet_prune.utils import UserError

PARTS = ("asr", "layer", "ctc", "att")
MAX_NON_FINITE = 20


class PruneASRModel(ESPnetASRModel):
    """`ESPnetASRModel` whose training loss knows gates and a teacher.

    Without `add_gates` and `add_teacher` it is the stock model. Validation and
    inference are always the stock forward, with deterministic masks if gates are on.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gates: Optional[torch.nn.Module] = None
        self.teacher: Optional[Teacher] = None
        self.distill_conf = DistillConf(w_layer=0.0, w_ctc=0.0, w_att=0.0)
        self.means = LossMeans(PARTS)
        # teacher index of every student block, where blocks were removed
        self.kept_blocks: Optional[List[int]] = None
        # whether anything is left in every student block; None means everywhere
        self.existing: Optional[List[bool]] = None
        self.last_stats: Dict[str, torch.Tensor] = {}
        self._non_finite = 0

    def add_gates(self, gates: torch.nn.Module) -> None:
        """Train with gates that are already attached to the encoder."""
        self.gates = gates

    def add_teacher(self, model: torch.nn.Module, conf: DistillConf) -> None:
        """Distil from `model`, an `ESPnetASRModel` of the same width and tokens.

        Raises:
            UserError: `conf.layers` names a block that the teacher does not have.
        """
        layers: List[int] = []
        if conf.w_layer > 0:
            layers = (
                losses.default_layers(len(model.encoder.encoders), conf.layers)
                if isinstance(conf.layers, int)
                else list(conf.layers)
            )
        self.teacher = Teacher(model, layers)

    def set_conf(self, conf: DistillConf) -> None:
        """Set loss weights; they hold for gated training without a teacher too."""
        self.distill_conf = conf
        self.means.momentum = conf.momentum
        self.means.ratio_limit = conf.ratio_limit

    def set_structure(self, widths: Mapping[str, Any]) -> None:
        """Tell which blocks of the teacher the student still has.

        Args:
            widths: `structure` of a pruned encoder's configuration: lists over the
                kept blocks, 0 where a module is gone.
        """
        self.kept_blocks = widths.get("kept_blocks")
        lists = [v for k, v in widths.items() if k in BLOCK_FIELDS and v]
        alive = [any(row) for row in zip(*lists)]
        self.existing = alive if len(alive) == len(self.encoder.encoders) else None

    def train_hooks(self) -> List[TrainHook]:
        """Return what the trainer has to call."""
        hooks: List[TrainHook] = [MeansHook(self)]
        return hooks + ([GateHook(self)] if self.gates is not None else [])

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        **kwargs,
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]:
        """Compute the loss.

        Args:
            speech: (#batch, samples) or features (#batch, frames, F).
            speech_lengths: (#batch,).
            text: Token ids (#batch, U), padded with -1.
            text_lengths: (#batch,).
            kwargs: `utt_id` names the utterances in warnings.

        Returns:
            Loss (1,), statistics and batch size, as ESPnet's trainer expects. The
            statistic `loss` is ESPnet's own loss, `loss_total` is what is minimised.
        """
        inputs = (speech, speech_lengths, text, text_lengths)
        if not self.training or (self.gates is None and self.teacher is None):
            return super().forward(*inputs, **kwargs)
        if self.gates is not None:
            self.gates.train_step_begin()
        conf = self.distill_conf
        with Capture(
            self, blocks=conf.w_layer > 0 and self.teacher is not None
        ) as seen:
            loss, stats, weight = super().forward(*inputs, **kwargs)
        answer = self._ask(seen)
        found = {"asr": Part(loss.mean(), weight.sum())}
        with torch.autocast(loss.device.type, enabled=False):
            if answer is not None:
                found.update(self._distill(seen, answer))
            parts, whole = share(found, weight.sum())
            total = parts["asr"] * 0.0
            weights = {name: getattr(conf, f"w_{name}") for name in parts}
            for name, part in parts.items():
                scaled = self.means(name, part, whole[name]) if conf.normalise else part
                total = total + weights[name] * scaled.float()
            if conf.normalise and sum(weights.values()) > 0:
                # about 1, however many terms: the budget's penalty is tuned to that
                total = total / sum(weights.values())
            extra = {f"kd_{k}": v for k, v in whole.items() if k != "asr"}
            if self.gates is not None:
                penalty, gate_stats = self.gates.regulariser()
                total = total + penalty
                extra.update(gate_stats)
        stats.update(extra, loss_total=total.detach())
        self._guard(total, kwargs.get("utt_id"))
        self.last_stats = stats
        return force_gatherable((total, stats, weight), loss.device)

    def _ask(self, seen: Capture) -> Optional[TeacherOutput]:
        """Run the teacher on what the student saw, under the same autocast.

        Raises:
            UserError: The teacher's encoder makes another number of frames.
        """
        if self.teacher is None:
            return None
        conf = self.distill_conf
        tokens = seen.decoder_inputs if conf.w_att > 0 else None
        answer = self.teacher(
            seen.feats.detach(), seen.feats_lengths, tokens, ctc=conf.w_ctc > 0
        )
        if not torch.equal(answer.lengths.cpu(), seen.lengths.cpu()):
            raise UserError(
                "the teacher's encoder makes another number of frames than the "
                "student's; both need the same input_layer"
            )
        return answer

    def _distill(self, seen: Capture, answer: TeacherOutput) -> Dict[str, Part]:
        """Return the distillation losses that have a weight."""
        conf = self.distill_conf
        parts = {}
        if answer.hidden is not None:
            mask = losses.valid_mask(seen.lengths, seen.blocks[0].size(1))
            pairs = self._match(seen.blocks, answer, mask)
            loss = losses.hidden_mse(seen.blocks, answer.hidden, pairs, mask)
            parts["layer"] = Part(loss, mask.sum())
        if answer.ctc_logits is not None and seen.ctc_logits is not None:
            mask = losses.valid_mask(seen.lengths, seen.ctc_logits.size(1))
            blank = self.blank_id if conf.blank_weight else -1
            loss = losses.logit_kl(
                seen.ctc_logits, answer.ctc_logits, mask, conf.temperature, blank
            )
            weights = losses.position_weights(answer.ctc_logits[mask], blank)
            parts["ctc"] = Part(loss, weights.sum().clamp_min(1e-6))
        if answer.decoder_logits is not None and seen.decoder_logits is not None:
            mask = losses.valid_mask(
                seen.decoder_inputs[1], seen.decoder_logits.size(1)
            )
            loss = losses.logit_kl(
                seen.decoder_logits, answer.decoder_logits, mask, conf.temperature
            )
            parts["att"] = Part(loss, mask.sum())
        return parts

    def _match(
        self, blocks: List[torch.Tensor], answer: TeacherOutput, mask: torch.Tensor
    ) -> matching.Pairs:
        """Choose (position in teacher layers, student block) pairs."""
        if self.gates is not None:
            exists = self.gates.block_exists().tolist()
        else:
            exists = self.existing or [True] * len(blocks)
        if self.distill_conf.matching == "fixed":
            return matching.match_fixed(
                self.teacher.layers, exists, self.teacher.num_blocks, self.kept_blocks
            )
        with torch.no_grad():
            distance = losses.pairwise_mse(
                answer.hidden, losses.gather_valid(blocks, mask)
            )
            # all ranks match the same blocks
            distance = mean_over_ranks(distance, mask.sum())
        if self.distill_conf.matching == "nearest":
            return matching.match_nearest(distance, exists)
        return matching.match_in_order(distance, exists)

    def _guard(self, total: torch.Tensor, utt_ids: Optional[List[str]]) -> None:
        """Warn about a loss that is not finite; the trainer skips such a step."""
        if torch.isfinite(total).all():
            self._non_finite = 0
            return
        self._non_finite += 1
        names = ", ".join(list(utt_ids or [])[:3])
        logging.warning(f"The loss is not finite; the step is skipped ({names}, ...)")
        if self._non_finite >= MAX_NON_FINITE:
            raise UserError(
                f"the loss was not finite for {MAX_NON_FINITE} batches in a row "
                f"(last: {names}); lower the learning rate or look at these utterances"
            )

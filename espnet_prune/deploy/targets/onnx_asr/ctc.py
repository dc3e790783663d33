# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the types of models of onnx-asr have in common that decode by CTC.

It counts frames by itself, from a whole number of frames of 10 ms, and decodes batches.
So outputs are longer than the model's, and blank wherever no frame of the model is.
"""

import re
from pathlib import Path
from typing import Any, Mapping, Optional

import onnx
from onnx import compose

from espnet_prune.deploy.targets.graphs import joined
from espnet_prune.deploy.targets.refusals import refusal
from espnet_prune.deploy.targets.symbols import unfit_symbols, write_symbols
from espnet_prune.deploy.targets.target import BEST_PATH, ONE_LANGUAGE, Heard, Slot
from espnet_prune.runtime.package import Package
from espnet_prune.utils import write_json

RATE = 16000
STEP_MS = 10  # of its times; a frame of CTC is so many of them
_SPACES = re.compile(r"^ | (?!\w)")

# log-probabilities with more frames, which are blank, as are those behind each end
_AFTER = """
to_batch (float[N, T, {size}] model_log_probs, int64[N] model_out_lengths)
    => (float[N, M, {size}] {output})
    <int64[6] widths = {{0, 0, 0, 0, 4, 0}}, int64 first = {{0}},
     int64 step = {{1}}, int64[1] last = {{-1}}, int64[1] only = {{0}},
     float[{size}] silence = {{{silence}}}>
{{
    longer = Pad(model_log_probs, widths)
    sizes = Shape<start = 1, end = 2>(longer)
    count = Squeeze(sizes, only)
    places = Range(first, count, step)
    ends = Unsqueeze(model_out_lengths, last)
    heard = Less(places, ends)
    kept = Unsqueeze(heard, last)
    {output} = Where(kept, longer, silence)
}}
"""
_LOW = -30.0  # log-probability of what is not said


def batched(
    model: onnx.ModelProto, package: Package, before: str, output: str
) -> onnx.ModelProto:
    """Return a model as onnx-asr runs it.

    Args:
        model: What was deployed, or what stands behind its front end.
        package: The deployed model.
        before: A graph that makes its inputs; their names begin with `model_`.
        output: Name of the log-probabilities.
    """
    row = [_LOW] * len(package.tokens)
    row[package.config.blank] = 0.0
    silence = ", ".join(map(str, row))
    after = _AFTER.format(size=len(row), output=output, silence=silence)
    return joined(compose.add_prefix(model, "model_"), before, after)


class CTCSlot(Slot):
    """A type of models of onnx-asr, by `name`.

    Attributes:
        vocabulary: Name of the file of tokens.
    """

    vocabulary: str
    limits: tuple = (
        BEST_PATH,
        ONE_LANGUAGE,
        "several spaces in a row are one, and none stands at the end or before a sign "
        "that is no letter or digit",
        "audio of other rates is resampled by onnx-asr itself, not as by ours",
    )

    def unfit(self, package: Package, facts: Mapping[str, Any]) -> Optional[str]:
        """Return why it cannot take a model; see `Slot`."""
        config = package.config
        reason = refusal(config, RATE)
        if reason is not None:
            return reason
        if config.frame_ms % STEP_MS:
            return (
                f"counts in steps of {STEP_MS} ms, and frames of the model are "
                f"{config.frame_ms:g} ms; a subsampling by a whole number would do"
            )
        return unfit_symbols(package)

    def spaced(self, text: str) -> str:
        """Return what becomes of the spaces of a text; see `limits`."""
        return _SPACES.sub("", text)

    def describe(
        self, package: Package, folder: Path, step_ms: float = STEP_MS, **more: Any
    ) -> None:
        """Write the tokens and config.json.

        Args:
            package: The deployed model.
            folder: Where they go.
            step_ms: What a frame is counted in.
            **more: Keys of config.json.
        """
        write_symbols(package, folder / self.vocabulary)
        steps = round(package.config.frame_ms / step_ms)
        found = {"model_type": self.name, "subsampling_factor": steps, **more}
        write_json(found, folder / "config.json")

    def open(self, folder: Path) -> Heard:
        """Return what onnx-asr hears in samples (S,); see `Slot`."""
        import onnx_asr
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        cpu = ["CPUExecutionProvider"]
        model = onnx_asr.load_model(
            self.name, folder, sess_options=options, providers=cpu
        )
        return lambda samples: model.recognize(samples, sample_rate=RATE)


def usage(name: str) -> str:
    """Return how a type is run, in Markdown; see `Slot`."""
    return f"""```python
import onnx_asr

model = onnx_asr.load_model("{name}", "{{folder}}")
print(model.recognize("recording.wav"))  # or several, or float32 samples (S,)
print(model.with_timestamps().recognize("recording.wav"))
```"""

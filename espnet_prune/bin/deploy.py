#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write a model as ONNX files that run without ESPnet and PyTorch.

    deploy --model exp/asr_x --output_dir out

writes the encoder with its front end and CTC (model.onnx), decoders beside it,
tokens.txt and config.json. A padded batch gives for each row what the utterance gives
alone, at any length. --sizes adds what `sizes` wrote of the same model, --depths the
depths of a model of depth on demand: OUT/size_50/, OUT/depth_6/. --for adds what other
runtimes load, as far as their own packages hear the same in it: OUT/sherpa-onnx/.
"""

from typing import Any, List, Optional

from espnet_prune.tasks import add_argument
from espnet_prune.utils import command_parser, run_main, setup_logging


def get_parser() -> Any:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    add = parser.add_argument
    where = (
        "experiment directory, archive or tag of ESPnet's model zoo, checkpoint, or "
    )
    add("--model", required=True, help=f"{where}directory of a Hugging Face CTC model")
    add("--output_dir", required=True)
    how = "YAML of ESPnet's decoding: beam_size, ctc_weight and so on"
    add("--inference_config", help=how)
    add("--sizes", help="directory that `sizes` or `quick --sizes` has filled")
    how = "of the depth table beside the model: numbers, e.g. 6,8, or all"
    add("--depths", help=how)
    how = "false leaves the decoder out, and recognises by CTC alone"
    add("--decoder", choices=("true", "false"), default="true", help=how)
    how = "a step for speech as it comes; auto: where the model can hear it"
    add("--stream", choices=["auto", "true", "false"], default="auto", help=how)
    add_argument(parser)
    speech = "speech that calibrates int8 and judges it: a data directory, a folder"
    add("--calibration", help=f"{speech}, a file; default: without it no int8")
    add("--calibration_text", help="its transcripts: lines of UTTERANCE TEXT")
    add(
        "--int8",
        choices=["auto", "true", "false"],
        default="auto",
        help="auto: where it is 1.15 x as fast here; true: even where it is not",
    )
    lost = "what int8 may lose, in points of the error rate (default: %(default)g)"
    add("--max_wer_loss", type=float, default=0.5, help=lost)
    small = "also files with weights of so few bits: small, and no faster"
    add("--weight_bits", type=int, choices=[8, 4], help=small)
    names = "runtimes of others, with commas between, or all; needs --calibration"
    add("--for", dest="targets", action="append", default=[], help=names)
    page = "the same as --for web: a page for a browser"
    add("--web", dest="targets", action="append_const", const="web", help=page)
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from espnet_prune.deploy.run import deploy

    deploy(args)


if __name__ == "__main__":
    run_main(main)

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A tiny model that hears something, its audio, and the command about both."""

import json

from espnet_prune.bin import quick
from test.espnet_prune.deep import CONFIG, make_exp, make_model

TINY = {
    **CONFIG["encoder_conf"],
    "linear_units": 32,
    "num_blocks": 2,
    "input_layer": "conv2d2",
}


def make_tiny(folder):
    """Write a model and tones; returns the options that name them."""
    config = {**CONFIG, "encoder_conf": TINY}
    make_exp(folder, make_model(config), encoder_conf=TINY)
    data = folder / "data"
    options = ["--model", str(folder), "--audio", str(data / "train_wav.scp")]
    dev = ["--dev", str(data / "valid_wav.scp")]
    return [*options, *dev, "--beam_size", "1"]


def labels(folder):
    """Return the options that name the transcripts."""
    data = folder / "data"
    words = ["--text", str(data / "train_text")]
    return [*words, "--dev_text", str(data / "valid_text")]


def run_quick(out, options, target, capsys):
    """Run the command; return its JSON and what it says."""
    capsys.readouterr()
    quick.main(["--target", target, "--output_dir", str(out), *options])
    said = capsys.readouterr()
    return json.loads(said.out.splitlines()[-1]), said.err

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The model and the speech in the recipe an4: loaded from anywhere, heard alike."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espnet_prune.data.calibration import find_audio
from espnet_prune.data.tables import read_table
from espnet_prune.models import load_model
from espnet_prune.select.layers.dev_data import load_batches

RECIPE = Path(__file__).parents[2] / "egs2" / "an4" / "asr_prune1"
SAMPLE = RECIPE / "sample"
FILES = [SAMPLE / "model" / name for name in ("config.yaml", "valid.acc.ave.pth")]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Return the model and its config, loaded far from the sample."""
    pytest.importorskip("espnet2")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        yield load_model(*FILES)


def test_texts_and_error_rate_are_those_that_are_told(loaded, tmp_path):
    model, config = loaded
    audio = find_audio(SAMPLE / "test", config, tmp_path)
    heard, wrong, words = {}, 0, 0
    for batch in load_batches(config, audio.write(tmp_path)):
        with torch.no_grad():
            hidden, lengths = model.eval().encode(batch.speech, batch.lengths)
        texts = batch.texts(model.ctc, hidden[0], lengths)
        heard.update(zip(batch.ids, texts))
        wrong, words = wrong + batch.distance(texts), words + batch.num_tokens
    assert heard == read_table(SAMPLE / "test/text.greedy") and len(heard) == 12
    assert len(set(read_table(SAMPLE / "test/utt2spk").values())) == 8
    told = re.search(
        r"([\d.]+) % WER, (\d+) errors in (\d+) words",
        (SAMPLE / "README.md").read_text(),
    )
    assert told.groups() == (f"{100 * wrong / words:.1f}", str(wrong), str(words))


def test_half_precision_and_small(loaded):
    state = torch.load(FILES[1], weights_only=True)
    weights = {k: v for k, v in state.items() if not k.startswith("normalize.")}
    kinds = {v.dtype for k, v in weights.items() if "tracked" not in k}
    assert kinds == {torch.float16}
    assert {p.dtype for p in loaded[0].parameters()} == {torch.float32}
    size = sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file())
    assert size < 4_000_000
    assert "Carnegie Mellon" in (SAMPLE / "LICENSE").read_text()


def test_stock_loader_has_the_same_weights(loaded, monkeypatch):
    from espnet2.bin.asr_inference import Speech2Text

    monkeypatch.chdir(SAMPLE)
    stock = Speech2Text(*(str(path.relative_to(SAMPLE)) for path in FILES)).asr_model
    ours = loaded[0].state_dict()
    assert stock.state_dict().keys() == ours.keys()
    for name, value in stock.state_dict().items():  # 202611 has its statistics in float
        assert torch.equal(value, ours[name].to(value.dtype)), name


def test_the_command_makes_it_again(loaded, tmp_path):
    """Of the sample itself, so that nothing else has to be there."""
    out = tmp_path / "sample"
    command = [sys.executable, str(RECIPE / "local/make_sample.py")]
    command += ["--model", str(SAMPLE / "model"), "--data_dir", str(SAMPLE)]
    done = subprocess.run(
        [*command, "--output_dir", str(out)],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(RECIPE.parents[2]), OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    there = {p.relative_to(SAMPLE) for p in SAMPLE.rglob("*") if p.is_file()}
    assert made == there - {Path("README.md")}
    for name in made:
        if name.suffix == ".pth":
            old, new = (torch.load(d / name, weights_only=True) for d in (SAMPLE, out))
            assert old.keys() == new.keys()
            assert all(torch.equal(old[k], new[k]) for k in old)
        else:
            assert (out / name).read_bytes() == (SAMPLE / name).read_bytes(), name

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is deployed runs alone: in a new environment with its requirements, no more."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from espnet_prune.bin.deploy import main as deploy
from espnet_prune.data.tables import read_table
from espnet_prune.deploy.standalone import write_runtime
from espnet_prune.runtime import Recognizer
from test.espnet_prune.runtime.tone_model import config, write_model

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "egs2" / "an4" / "asr_prune1" / "sample"
# pip's words where there is no network
UNREACHABLE = r"NewConnectionError|ConnectTimeout|name resolution|Network is unreachabl"


def run(*words):
    """Run a command as on another machine; nothing of this environment is seen."""
    kept = {"PATH": os.environ["PATH"]}
    kept.update({k: v for k, v in os.environ.items() if k.startswith("PIP_")})
    command = list(map(str, words))
    return subprocess.run(command, capture_output=True, text=True, env=kept, cwd="/")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """Return the repository's own trained model, deployed."""
    out = tmp_path_factory.mktemp("standalone") / "out"
    deploy(["--model", str(SAMPLE / "model"), "--output_dir", str(out)])
    return out


@pytest.fixture(scope="module")
def python(deployed):
    """Return Python of a new environment that has what requirements.txt names."""
    if sys.version_info < (3, 11):
        pytest.skip("what is deployed needs Python 3.11")
    folder = deployed.parent / "environment"
    made = run(sys.executable, "-m", "venv", "--without-pip", folder)
    assert made.returncode == 0, made.stderr
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q")
    done = run(*pip, "-r", deployed / "requirements.txt")
    if done.returncode and re.search(UNREACHABLE, done.stdout + done.stderr):
        pytest.skip("there is no network from which pip could install")
    assert done.returncode == 0, done.stderr
    return python


def test_texts_are_those_of_espnet(deployed, python):
    """Greedy CTC of all utterances, and the beam search of ESPnet's of some."""
    assert "No module named 'torch'" in run(python, "-c", "import torch").stderr
    audio, script = SAMPLE / "audio", deployed / "transcribe.py"
    done = run(python, script, audio, "--decoding", "ctc_greedy")
    assert done.returncode == 0, done.stderr
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert found == read_table(SAMPLE / "test" / "text.greedy")

    files = sorted(audio.iterdir())[3:5]
    done = run(python, script, *files, "--beam_size", 3)
    assert done.returncode == 0, done.stderr
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert found == {path.stem: text for path, text in espnet(files, 3).items()}


def espnet(files, beam):
    """Return {file: text} of ESPnet's beam search."""
    import soundfile
    from espnet2.bin.asr_inference import Speech2Text

    here = os.getcwd()
    os.chdir(SAMPLE)  # where its statistics are
    try:
        paths = "model/config.yaml", "model/valid.acc.ave.pth"
        decode = Speech2Text(*paths, beam_size=beam, ctc_weight=0.3)
    finally:
        os.chdir(here)
    found = {path: decode(soundfile.read(path)[0]) for path in files}
    # with it come the texts of inner CTC
    return {path: nbest[0][0] for path, (nbest, _) in found.items()}


def test_bad_input_ends_with_one_sentence(deployed, python, tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    done = run(python, deployed / "transcribe.py", tmp_path / "a.wav")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {tmp_path}/a.wav: libsndfile cannot read")


def test_a_minute_in_pieces_is_understood_as_well_as_whole(deployed):
    """The model knows short utterances only, so that both are worse than these."""
    import jiwer
    import soundfile

    texts = [" ".join(read_table(SAMPLE / "test" / "text").values())] * 3
    waves = [soundfile.read(path)[0] for path in sorted((SAMPLE / "audio").iterdir())]
    minute = np.concatenate(waves * 3)
    rates = {}
    for piece in (100, 20, 10):
        recognizer = Recognizer(
            deployed, decoding="ctc_greedy", piece=piece, overlap=min(4, piece / 4)
        )
        rates[piece] = jiwer.wer(" ".join(texts), recognizer(minute).text)
    assert len(minute) > 60 * 16000
    assert max(rates[20], rates[10]) < rates[100] + 0.04, rates


def test_older_versions_of_python_are_told(tmp_path):
    write_runtime(tmp_path, config())
    code = (tmp_path / "transcribe.py").read_text()
    compile(code, "transcribe.py", "exec")
    assert not re.search(r'\bf"|print\(', code)  # which Python 2.7 does not know
    said = re.sub(r"sys.version_info\b", "(3, 9, 18)", code)
    done = run(sys.executable, "-c", said)
    told = "error: this is Python 3.9, transcribe.py needs Python 3.11 or later\n"
    assert (done.returncode, done.stderr) == (2, told)


def test_what_is_written(tmp_path):
    write_model(tmp_path)
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "gone.py").write_text("of an earlier version")
    write_runtime(tmp_path, config())
    ours = sorted(p.name for p in (ROOT / "espnet_prune" / "runtime").glob("*.py"))
    assert sorted(p.name for p in (tmp_path / "runtime").iterdir()) == ours
    needs = (tmp_path / "requirements.txt").read_text()
    assert "onnxruntime" in needs and "sentencepiece" not in needs
    page = (tmp_path / "README.md").read_text()
    assert "| `model.onnx` | model, fp32 |" in page and "bpe.model" not in page
    write_runtime(tmp_path, dict(config(), token_type="bpe", bpe_model="bpe.model"))
    assert "sentencepiece" in (tmp_path / "requirements.txt").read_text()


def test_it_runs_where_it_is_copied_to(tmp_path):
    import soundfile

    from test.espnet_prune.runtime.tone_model import RATE, tones

    write_runtime(write_model(tmp_path / "out"), config())
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    soundfile.write(tmp_path / "a.wav", tones("CAFE"), RATE)
    done = run(sys.executable, tmp_path / "elsewhere/transcribe.py", tmp_path / "a.wav")
    assert done.stdout == "a CAFE\n", done.stderr
    # who reads has enough
    pipe = f"{sys.executable} {tmp_path}/elsewhere/transcribe.py {tmp_path} | true"
    done = run("bash", "-c", pipe)
    assert "Traceback" not in done.stderr

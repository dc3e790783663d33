# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The page in Chromium: it hears what our runtime hears, and tells what is wrong."""

import shutil

import numpy as np
import pytest
import soundfile

from espnet_prune.deploy.targets.web.browser import Browser
from espnet_prune.deploy.targets.web.write import symbols, write_page
from espnet_prune.runtime import Recognizer
from espnet_prune.runtime.ctc import ctc_greedy
from espnet_prune.runtime.long import Token, joined
from espnet_prune.runtime.package import read_package
from test.espnet_prune.runtime.test_text import maker, trained_pieces
from test.espnet_prune.runtime.tone_model import RATE, tones, write_model

pytestmark = pytest.mark.runtime("onnxruntime-web")

# a page's function with some arguments; what it returns
CALL = """
const [file, name, given, done] = arguments;
import(`${location.origin}/${file}`).then((all) => done(all[name](...given)), done);
"""
DENIED = """
navigator.mediaDevices.getUserMedia =
  () => Promise.reject(new DOMException("", "NotAllowedError"));
"""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """Return a model that reads tones, with a size and a depth beside it."""
    out = tmp_path_factory.mktemp("web") / "out"
    write_model(out, sizes={"50": "size_50"}, depths={"6": "depth_6"})
    for name in ("size_50", "depth_6"):
        write_model(out / name)
    return out


@pytest.fixture(scope="module")
def browser(deployed):
    page = deployed.with_name("page")
    page.mkdir()
    write_page(read_package(deployed), page)
    spoken = deployed.with_name("spoken.wav")
    audio = tones("CAFE", 48000, frames=8)
    soundfile.write(spoken, np.append(audio, np.zeros(48000 * 60)), 48000)
    browser = Browser(page, spoken)
    yield browser
    asked = browser.close()
    # the page and its worker have asked this host alone, and for all that it needs
    assert all(address.startswith(browser.origin) for address in asked)
    assert f"{browser.origin}/models/model.onnx" in asked


def call(browser, file, name, *given):
    return browser.driver.execute_async_script(CALL, file, name, given)


def test_texts_are_those_of_the_runtime(browser, deployed, tmp_path):
    browser.use(["fp32", "fp32", "fp32"])
    recognizer = Recognizer(deployed)
    rng = np.random.default_rng(0)
    letters = list("ABCDEFGH ")
    texts = ["".join(rng.choice(letters, 12)) for _ in range(3)]
    texts += ["".join(rng.choice(letters, 700))]  # of a minute and a half
    speech = [tones(text) for text in texts] + [np.zeros(RATE, np.float32)]
    for found, samples in zip(browser.hear(speech, RATE), speech):
        assert not found["problem"] and len(found["rows"]) == 3
        assert {row["text"] for row in found["rows"]} == {recognizer(samples).text}
        assert all(row["ms"] > 0 for row in found["rows"])
    browser.use(["fp32", None, None])
    stereo = np.column_stack([tones("BADE", 44100, frames=6)] * 2)
    paths = [tmp_path / name for name in ("stereo.flac", "stereo.ogg", "small.wav")]
    for path in paths[:2]:
        soundfile.write(path, stereo, 44100)
    soundfile.write(paths[2], tones("BADE", 8000, frames=6), 8000)
    for found in browser.give(list(map(str, paths))):
        assert [row["text"] for row in found["rows"]] == ["BADE"]
    assert browser.complaints() == []


def test_speech_is_heard(browser):
    browser.use(["fp32", None, None])
    before = len(browser.results())
    find = browser.driver.find_element
    button, seconds, problem = (find("id", i) for i in ("speak", "seconds", "problem"))
    button.click()
    browser.wait(lambda: (seconds.text or "0 s") > "2.0 s")
    assert button.text == "Stop"
    button.click()
    found = browser.new_results(before, 1)[0]
    # frames do not begin where tones do: what has only its end may sound like a space
    text = found["rows"][0]["text"].replace(" ", "")
    assert (found["name"], text) == ("Spoken 1", "CAFE")
    assert button.text == "Speak" and browser.complaints() == []
    browser.driver.execute_script(DENIED)
    button.click()
    browser.wait(lambda: problem.text)
    assert problem.text == (
        "The microphone is not allowed; allow it in the address bar, or choose a file."
    )


def test_bad_input_is_told(browser, tmp_path):
    browser.use(["fp32", None, None])
    files = {
        "text.wav": (b"no audio", "text.wav: no audio is found in it; give wav"),
        "nothing.wav": (b"", "nothing.wav: no audio is found in it"),
        "short.wav": (np.zeros(100), "short.wav: 0.006 s are too short for this model"),
        "broken.wav": (np.full(RATE, np.nan), "broken.wav: a sample is no number"),
    }
    for name, (content, _) in files.items():
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        else:
            soundfile.write(tmp_path / name, content, RATE, subtype="FLOAT")
    told = browser.give([str(tmp_path / name) for name in files])
    for found, (_, sentence) in zip(told, files.values()):
        problem = found["problem"]
        assert problem.startswith(sentence) and problem.endswith(".")
        assert not found["rows"]
    browser.use([None, None, None])
    found = browser.hear([tones("A")], RATE)[0]
    assert found["problem"] == "No model is used; tick one in the table above."


def test_missing_files_are_told(browser, deployed):
    browser.open()
    names = ["size_50.model.onnx", "depth_6.model.onnx"]
    missing, damaged = (deployed.with_name("page") / "models" / name for name in names)
    missing.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-7])
    states = browser.use(["fp32", "fp32", "fp32"])
    assert states == [
        "ready",
        "./models/size_50.model.onnx is missing (404); copy the directory again, with "
        "all files",
        f"./models/depth_6.model.onnx has {damaged.stat().st_size} bytes instead of "
        f"{damaged.stat().st_size + 7}; copy the directory again",
    ]
    rows = browser.hear([tones("BAD")], RATE)[0]["rows"]
    assert rows[0]["text"] == "BAD" and "is missing (404)" in rows[1]["text"]
    write_model(deployed / "size_50")
    shutil.copy(deployed / "size_50" / "model.onnx", missing)
    rows = browser.hear([tones("BAD")], RATE)[0]["rows"]
    assert rows[1]["text"] == "BAD"


def test_paths_are_those_of_the_runtime(browser):
    rng = np.random.default_rng(0)
    for _ in range(20):
        frames, width = map(int, rng.integers(1, 60, 2))
        log_probs = rng.integers(0, 3, (frames, width)).astype(np.float32)
        padded = np.append(log_probs.ravel(), np.ones(3 * width)).tolist()
        blank = int(rng.integers(width))
        found = call(browser, "ctc.js", "greedy", padded, frames, width, blank)
        wanted = ctc_greedy(log_probs, blank)
        assert [row["id"] for row in found] == wanted.tokens
        assert [row["frame"] for row in found] == wanted.times


def test_joined_pieces_are_those_of_the_runtime(browser):
    rng = np.random.default_rng(0)
    for _ in range(50):
        said = [Token(int(i), t / 10) for t, i in enumerate(rng.integers(0, 3, 100))]
        kept = [[token for token in said if rng.random() < 0.8] for _ in range(2)]
        before = [token for token in kept[0] if token.time < 6]
        after = [Token(token.id, token.time + 0.02) for token in kept[1]]
        after = [token for token in after if token.time > 4]
        rows = [[token._asdict() for token in tokens] for tokens in (before, after)]
        found = call(browser, "long.js", "joined", *rows, 4, 6)
        assert found == [token._asdict() for token in joined(before, after, 4, 6)]


@pytest.mark.parametrize("kind", ["char", "word", "phn"])
def test_letters_and_words_are_those_of_the_runtime(browser, tmp_path, kind):
    tokens = ["<blank>", "A", "<space>", "\N{LOWER ONE EIGHTH BLOCK}", "<noise>", "字"]
    text = maker(tmp_path, tokens, token_type=kind)
    for ids in ([], [1], [2, 1, 2, 2, 4, 5, 2], [3, 1, 3, 2, 0]):
        given = ids, symbols(read_package(tmp_path))
        assert call(browser, "ctc.js", "textOf", *given) == text(ids)


def test_pieces_are_those_of_the_runtime(browser, tmp_path):
    pieces = trained_pieces(tmp_path)
    own = [pieces.id_to_piece(i) for i in range(len(pieces))]
    tokens = ["<blank>", *own, "<sos/eos>", "字"]
    text = maker(tmp_path, tokens, token_type="bpe", bpe_model="bpe.model")
    about, rng = symbols(read_package(tmp_path)), np.random.default_rng(0)
    for size in [0, *range(1, 9)] * 5:
        ids = rng.integers(0, len(tokens), size).tolist()
        assert call(browser, "ctc.js", "textOf", ids, about) == text(ids)

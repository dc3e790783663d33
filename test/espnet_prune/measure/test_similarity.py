# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import json

import numpy as np
import pytest
import torch
from torch import nn

from espnet_prune.measure.similarity import metrics as metrics_module
from espnet_prune.measure.similarity.collect import collect_states
from espnet_prune.measure.similarity.matrix_file import load_matrix, save_matrix
from espnet_prune.measure.similarity.metrics import MEASURES, similarity_matrix
from espnet_prune.report.search_plots import heat_map
from espnet_prune.units.blocks import SkippedBlock
from espnet_prune.utils import UserError
from test.espnet_prune.encoder_zoo import MEL, build

SMALL = {"dc2": dict(batch_size=20, iterations=5)}


def states(n=200, d=8, number=4, seed=0):
    """Every state is the one before with some noise and another rotation."""
    rng = np.random.default_rng(seed)
    found = [rng.standard_normal((n, d)) * np.linspace(1, 3, d) + 0.5]
    for _ in range(number - 1):
        noise = 0.4 * rng.standard_normal((n, d))
        found.append((found[-1] + noise) @ rotation(rng, d))
    return found


def pair(measure, a, b, **options):
    return similarity_matrix([a, b], measure, **options)[0, 1]


def rotation(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


@pytest.mark.parametrize("measure", MEASURES)
def test_properties(measure):
    options, xs = SMALL.get(measure, {}), states()
    matrix = similarity_matrix(xs, measure, **options)
    assert matrix.shape == (4, 4)
    assert np.abs(matrix - matrix.T).max() == 0.0
    np.testing.assert_allclose(np.diag(matrix), 1.0, atol=1e-6)
    assert (np.diff(matrix[0]) < 0).all(), "each step away from x_0 adds noise"

    rng = np.random.default_rng(1)
    turned = [1e-3 * 7**i * x @ rotation(rng, 8) for i, x in enumerate(xs)]
    again = similarity_matrix(turned, measure, **options)
    np.testing.assert_allclose(again, matrix, atol=1e-6)

    same = similarity_matrix([xs[0], xs[1], xs[1], xs[2]], measure, **options)
    assert same[1, 2] == pytest.approx(1.0, abs=1e-6)

    unrelated = rng.standard_normal((200, 8))
    low = pair(measure, xs[0], unrelated, **options)
    # few samples bias distance correlation upward, above all in batches of 20
    bound = {"dc": 0.4, "dc2": 0.6}.get(measure, 0.25)
    assert low < bound < pair(measure, xs[0], xs[1], **options)


def test_svcca_of_all_directions_is_cca():
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((50, 6)), rng.standard_normal((50, 4))
    b[:, 0] += a[:, 0]
    angles = linalg.subspace_angles(a - a.mean(0), b - b.mean(0))
    assert pair("svcca", a, b, threshold=1.0) == pytest.approx(
        np.cos(angles).mean(), abs=1e-10
    )
    # a constant or repeated column adds no direction
    wider = np.concatenate([a, np.ones((50, 1)), a[:, :1]], 1)
    assert pair("svcca", wider, b, threshold=1.0) == pytest.approx(
        np.cos(angles).mean()
    )


def test_svcca_threshold_is_on_singular_values_not_squares():
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 6)))[0]
    q = np.linalg.qr(q - q.mean(0))[0]
    # 90 / 91.5 of the sum is below 0.99; of the squares it is above
    a = q[:, :3] * [90.0, 1.0, 0.5]
    b = q[:, [0, 4, 5]] * [90.0, 1.0, 0.5]
    # two directions, one of them shared
    assert pair("svcca", a, b) == pytest.approx(0.5)
    assert pair("svcca", a, b, threshold=0.9) == pytest.approx(1.0)


def centred_distances(x):
    a = np.array([[np.linalg.norm(p - q) for q in x] for p in x])
    return a - a.mean(0) - a.mean(1)[:, None] + a.mean()


def squared(x, y):
    a, b = centred_distances(x), centred_distances(y)
    return (a * b).mean() / np.sqrt((a * a).mean() * (b * b).mean())


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_distance_correlation_formulas(monkeypatch):
    x, _, y = states(n=50, d=5, number=3)
    plain = np.sqrt(squared(x, y))
    assert pair("dc", x, y, normalize=False) == pytest.approx(plain, abs=1e-10)
    want = np.sqrt(squared(unit(x), unit(y)))
    assert pair("dc", x, y) == pytest.approx(want, abs=1e-10)
    monkeypatch.setattr(metrics_module, "_BLOCK", 700)  # 7 rows at a time
    assert pair("dc", x, y) == pytest.approx(want, abs=1e-10)
    batches = [squared(unit(x[i : i + 12]), unit(y[i : i + 12])) for i in (0, 12, 24)]
    # the batch of 36 to 48, and the remainder, are not used
    got = pair("dc2", x, y, batch_size=12, iterations=3)
    assert got == pytest.approx(np.mean(batches), abs=1e-10)


def test_bad_states_are_refused(monkeypatch):
    xs = states(n=8, number=2)
    message = (
        "8 samples says nothing of 8 dim.* more than 8, better 40 to 80: use more utt"
    )
    with pytest.raises(UserError, match=message):
        similarity_matrix(xs, "svcca")
    assert similarity_matrix(xs, "cka").shape == (2, 2)
    with pytest.raises(UserError, match="cka needs 4 samples or more and there are 3"):
        similarity_matrix([x[:3] for x in xs], "cka")
    with pytest.raises(UserError, match="10 batches of 32 .* 8 samples, not 320"):
        similarity_matrix(xs, "dc2")
    monkeypatch.setattr(metrics_module, "MAX_DC_SAMPLES", 7)
    with pytest.raises(UserError, match="8 are too many; give 7 or fewer"):
        similarity_matrix(xs, "dc")
    with pytest.raises(UserError, match="unknown key 'ska' .did you mean 'cka'"):
        similarity_matrix(xs, "ska")
    with pytest.raises(UserError, match="unknown key 'treshold'"):
        similarity_matrix(states(), "svcca", treshold=0.9)
    with pytest.raises(UserError, match="after block 1 have NaN"):
        similarity_matrix([xs[0], xs[1] * np.nan], "cka")
    with pytest.raises(UserError, match="after block 0 are the same at every sample"):
        similarity_matrix([np.full((8, 3), 0.1), xs[1]], "cka")


class Speech(nn.Module):
    """What `collect_states` uses of an ESPnetASRModel; the speech is features."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def encode(self, speech, speech_lengths):
        return self.encoder(speech, speech_lengths)[:2]


def speech(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, MEL, generator=generator) for n in lengths]


def batch(*utterances):
    feats = nn.utils.rnn.pad_sequence(utterances, batch_first=True)
    lengths = torch.tensor([len(x) for x in utterances])
    ids = [str(i) for i in range(len(utterances))]
    return ids, {"speech": feats, "speech_lengths": lengths}


def test_padding_is_left_out():
    # linear input: no convolution sees the padding
    model = Speech(build("transformer", input_layer="linear"))
    short, long = speech([11, 30])
    (alone,) = collect_states(model, [batch(short)])[-1]
    padded = collect_states(model, [batch(long, short)])
    assert len(padded) == 3 and padded[0].dtype == np.float64
    assert padded[-1].shape == (2, 16)
    np.testing.assert_allclose(padded[-1][1], alone, atol=1e-6)
    entered = model.encoder.embed(short[None]).detach()[0].double().mean(0)
    np.testing.assert_allclose(padded[0][1], entered, atol=1e-6)
    three = [batch(long), batch(short), batch(long)]
    assert len(collect_states(model, three, max_samples=2)[0]) == 2


@pytest.mark.parametrize("variant", ["latest", "transformer", "interctc"])
def test_states_are_what_passes_between_blocks(variant):
    model = Speech(build(variant, num_blocks=3)).eval()
    model.encoder.embed.train()
    data = [batch(*speech([40, 63])), batch(*speech([51], 1))]
    found = collect_states(model, data, "frame")
    assert model.encoder.embed.training and not model.training
    assert not model.encoder._forward_hooks
    assert not model.encoder.encoders[0]._forward_pre_hooks
    assert len(found) == 4
    model.eval()
    real, last = 0, []
    for _, one in data:
        out, lengths = model.encode(one["speech"], one["speech_lengths"])
        out = out[0] if isinstance(out, tuple) else out
        last += [x[:n] for x, n in zip(out.detach(), lengths)]
        real += int(lengths.sum())
    assert [x.shape for x in found] == [(real, 16)] * 4
    # the same frames, in another order, and before the last norm
    normed = model.encoder.after_norm(torch.tensor(found[-1]).float()).detach()
    order, want = normed[:, 0].argsort(), torch.cat(last)
    np.testing.assert_allclose(normed[order], want[want[:, 0].argsort()], atol=1e-5)


def test_self_conditioning_belongs_to_the_block_before_it():
    model = Speech(build("interctc", interctc_use_conditioning=True))
    encoder, ctc = model.encoder, nn.Linear(16, 5)
    encoder.conditioning_layer = nn.Linear(5, 16)
    ctc.softmax = lambda x: ctc(x).softmax(-1)

    def encode(speech, speech_lengths):
        return encoder(speech, speech_lengths, ctc=ctc)[:2]

    model.encode = encode
    for i in range(2):
        encoder.encoders[i] = SkippedBlock()
    entered, one, two = collect_states(model, [batch(*speech([40]))])
    assert np.abs(one - entered).max() > 1e-3
    np.testing.assert_array_equal(one, two)


def test_frames_are_drawn_uniformly_and_the_same_for_all_layers():
    model = Speech(build("transformer", input_layer="linear"))
    for i in range(2):
        model.encoder.encoders[i] = SkippedBlock()
    data = [batch(*speech([30, 20], i)) for i in range(6)]
    found = collect_states(model, data, "frame", max_samples=50, seed=3)
    assert len(np.unique(found[0], axis=0)) == 50
    np.testing.assert_array_equal(found[0], found[2])
    again = collect_states(model, iter(data), "frame", max_samples=50, seed=3)
    np.testing.assert_array_equal(found[1], again[1])
    every = collect_states(model, data, "frame", max_samples=1000)[0]
    place = [int(np.abs(every - x).sum(1).argmin()) for x in found[0]]
    assert len(every) == 300 and len(set(place)) == 50


def test_a_block_that_does_nothing_is_found():
    model = Speech(build("latest", num_blocks=4))
    model.encoder.encoders[2] = SkippedBlock()
    data = [batch(*speech([40, 63, 90], i)) for i in range(10)]
    for mode, measure in (("frame", "svcca"), ("utterance", "dc"), ("frame", "cka")):
        matrix = similarity_matrix(collect_states(model, data, mode), measure)
        between = matrix.diagonal(1)
        assert between[2] == pytest.approx(1.0, abs=1e-9)
        assert between[[0, 1, 3]].max() < 0.999


def test_short_utterances_are_left_out(caplog):
    model = Speech(build("latest"))
    data = [batch(*speech([4])), batch(*speech([40]))]
    assert len(collect_states(model, data)[0]) == 1
    assert "1 of 2 utterances are too short" in caplog.text
    with pytest.raises(UserError, match="no utterance is long enough"):
        collect_states(model, data[:1])
    with pytest.raises(UserError, match="mode 'time' is not known"):
        collect_states(model, data, "time")


def test_matrix_file(tmp_path):
    matrix = similarity_matrix(states(), "cka")
    path = tmp_path / "sub" / "cka.npz"
    save_matrix(path, matrix, measure="cka", versions={"torch": "2"})
    got, provenance = load_matrix(path, num_layers=3)
    np.testing.assert_array_equal(got, matrix)
    assert provenance == {"measure": "cka", "versions": {"torch": "2"}}
    with np.load(path, allow_pickle=False) as content:
        assert json.loads(str(content["provenance"]))["measure"] == "cka"
    np.save(tmp_path / "m.npy", matrix.astype(np.float32))
    got, provenance = load_matrix(tmp_path / "m.npy")
    assert got.dtype == np.float64 and provenance == {}
    with pytest.raises(UserError, match="cka.npz: .* 4 x 4, which fits 3 blocks, but"):
        load_matrix(path, num_layers=12)
    with pytest.raises(UserError, match="none.npz: no such file"):
        load_matrix(tmp_path / "none.npz")


def changed(value):
    matrix = np.eye(3)
    matrix[0, 2] = value
    return matrix


@pytest.mark.parametrize(
    "matrix, message",
    [
        (np.ones((2, 3)), r"not square \(2 x 3\)"),
        (np.ones(4), r"not square \(4\)"),
        (np.ones((1, 1)), "2 x 2 is the smallest"),
        (changed(np.nan), r"NaN or infinite value at \[0, 2\]"),
        (changed(np.inf), "NaN or infinite"),
        (changed(0.5), r"not symmetric: \[0, 2\] is 0.5 and \[2, 0\] is 0"),
        (np.array([["a", "b"]] * 2), "not a readable similarity matrix"),
        (np.array([[None, 1], [1, 1]]), "not a readable similarity matrix"),
    ],
)
def test_bad_matrix_files_are_refused(tmp_path, matrix, message):
    np.save(tmp_path / "bad.npy", matrix, allow_pickle=True)
    with pytest.raises(UserError, match=f"bad.npy: .*{message}"):
        load_matrix(tmp_path / "bad.npy")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    for content in (b"", b"text", b"PK\x03\x04 broken"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="x.npz: not a readable similarity matrix"):
            load_matrix(path)
    np.savez(path, other=np.eye(3))
    with pytest.raises(UserError, match="x.npz: not a readable similarity matrix"):
        load_matrix(path)
    with pytest.raises(UserError, match="new.npz: .*not symmetric"):
        save_matrix(tmp_path / "new.npz", changed(0.5))
    assert not (tmp_path / "new.npz").exists()


@pytest.mark.parametrize("layers", [2, 48])
def test_heat_map(tmp_path, layers):
    pytest.importorskip("matplotlib")
    matrix = 0.5 + 0.5 * np.eye(layers + 1)
    heat_map(matrix, tmp_path / "a" / "m.png", runs=[(1, 1), (2, 2)])
    assert (tmp_path / "a" / "m.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="not within blocks"):
        heat_map(matrix, tmp_path / "m.png", runs=[(1, layers + 1)])

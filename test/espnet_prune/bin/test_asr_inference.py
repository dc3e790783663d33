# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest

from espnet_prune.bin import asr_inference
from espnet_prune.utils import UserError, write_yaml
from test.espnet_prune.deep import HYBRID, write_model


@pytest.fixture
def options(tmp_path):
    """Command line for a model with random weights."""
    write_model(tmp_path, HYBRID)
    (tmp_path / "wav.scp").write_text(f"u {tmp_path}/model.pth\n")  # never read
    words = f"--asr_train_config {tmp_path}/config.yaml "
    words += f"--asr_model_file {tmp_path}/model.pth --output_dir {tmp_path}/out "
    words += f"--key_file {tmp_path}/keys --ngpu 0 "
    words += f"--data_path_and_name_and_type {tmp_path}/wav.scp,speech,sound"
    return words.split()


def test_a_fitting_pair_goes_to_espnet(options, monkeypatch):
    from espnet2.bin import asr_inference as stock

    given = []
    monkeypatch.setattr(stock, "inference", lambda **kwargs: given.append(kwargs))
    asr_inference.main(options)
    expected = vars(stock.get_parser().parse_args(options))
    expected.pop("config", None)
    assert given == [expected]


def test_a_pair_that_does_not_fit_is_refused(options, tmp_path, monkeypatch):
    from espnet2.bin import asr_inference as stock

    monkeypatch.setattr(stock, "DatadirWriter", lambda _: pytest.fail("decoded"))
    deeper = dict(HYBRID["encoder_conf"], num_blocks=2)
    write_yaml(dict(HYBRID, encoder_conf=deeper), tmp_path / "config.yaml")
    with pytest.raises(UserError, match=r"model.pth lacks encoder.encoders.1"):
        asr_inference.main(options)
    (tmp_path / "model.pth").write_bytes(b"nothing")
    with pytest.raises(UserError, match="model.pth: not a readable checkpoint"):
        asr_inference.main(options)
    assert not (tmp_path / "out").exists()


def test_decoders_keep_keys_and_values_unless_told(options, monkeypatch):
    from espnet2.bin import asr_inference as stock

    from espnet_prune.decoders.cached import Cached

    made = []

    def inference(asr_train_config, asr_model_file, **others):
        assert "cached_decoding" not in others
        made.append(stock.Speech2Text(asr_train_config, asr_model_file))

    monkeypatch.setattr(stock, "inference", inference)
    for more in ("", "--keep_blocks 1", "--cached_decoding false"):
        asr_inference.main([*options, *more.split()])
        decoder = made[-1].asr_model.decoder
        assert made[-1].beam_search.scorers["decoder"] is decoder
        assert isinstance(decoder, Cached) is ("false" not in more)
    assert len(made) == 3

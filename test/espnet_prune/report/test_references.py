# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What of a reference is counted, and how."""

import json

import pytest

from espnet_prune.bin import score
from espnet_prune.report.counts import Counts, align, count_jiwer
from espnet_prune.utils import UserError


def counted(tmp_path, ref, hyp, *options):
    """Score two texts; returns the figures by measure."""
    for name, text in (("ref", ref), ("hyp", hyp)):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "text").write_text(text, encoding="utf-8")
    words = f"--ref {tmp_path}/ref/text --hyp {tmp_path}/hyp/text --bootstrap 100"
    score.main([*words.split(), *options])
    return json.loads((tmp_path / "hyp" / "score.json").read_text())["sets"][""]


def test_an_empty_reference_counts_by_its_insertions(tmp_path):
    found = counted(tmp_path, "u1 A B\nu2\n", "u1 A B\nu2 C\n")
    assert (found["wer"]["snt"], found["wer"]["wrd"], found["wer"]["ins"]) == (2, 2, 1)
    assert found["wer"]["rate"] == 50.0


def test_cer_counts_white_space_of_any_kind(tmp_path):
    """東京　大阪 without its wide blank: one of eight characters is missing."""
    ref, hyp = "u1 東京\u3000大阪\nu2 あ い\n", "u1 東京大阪\nu2 あ\u00a0い\n"
    cer = counted(tmp_path, ref, hyp)["cer"]
    assert (cer["wrd"], cer["del"], cer["err"]) == (8, 1, 1)
    # tokens that jiwer would split or drop are tokens like others
    odd = [["a\u3000", "\u2028", " ", "b"], ["\u2028", "b"]]
    assert count_jiwer(odd[:1], odd[1:]) == [align(*odd)] == [Counts(2, 0, 2, 0)]


def test_references_are_cleaned_and_symbols_left_out_as_in_asr_sh(tmp_path):
    """The expected tokens are those of ESPnet's tokenize_text, as asr.sh calls it."""
    pytest.importorskip("tacotron_cleaner")
    from espnet2.bin.tokenize_text import tokenize

    symbols, config = tmp_path / "nlsyms.txt", tmp_path / "config.yaml"
    symbols.write_text("<NOISE>\n<N>\n")
    ref = "u1 Hello <NOISE>  World\u3000& <N>x\n"
    conf = {"cleaner": "tacotron", "non_linguistic_symbols": str(symbols)}
    config.write_text(json.dumps(conf))
    more = ["--model_config", str(config)]
    found = counted(tmp_path, ref, "u1 HELLO WORLD <NOISE>AND\tX\n", *more)
    folder = tmp_path / "hyp"
    for kind, measure in (("word", "wer"), ("char", "cer")):
        for side, cleaner in (("ref", "tacotron"), ("hyp", None)):
            given = dict.fromkeys(
                ("delimiter", "bpemodel", "vocabulary_size", "g2p", "cutoff")
            )
            given.update(write_vocabulary=False, vocabulary_size=0, cutoff=0)
            given.update(add_symbol=[], add_nonsplit_symbol=[], log_level="ERROR")
            output = str(tmp_path / "tokens")
            tokenize(
                input=str(tmp_path / side / "text"),
                output=output,
                field="2-",
                token_type=kind,
                space_symbol="<space>",
                non_linguistic_symbols=str(symbols),
                remove_non_linguistic_symbols=True,
                cleaner=cleaner,
                **given,
            )
            line = (folder / f"score_{measure}" / f"{side}.trn").read_text()
            assert line.split("\t")[0] == open(output).read().rstrip("\n")
    assert found["wer"]["snt"] == 1
    # a model without them: <NOISE> is a word
    plain = counted(tmp_path, "u1 A <NOISE> B\n", "u1 A B\n")
    assert plain["wer"]["del"] == 1
    more = ["--nlsyms_txt", str(symbols)]
    assert counted(tmp_path, "u1 A <NOISE> B\n", "u1 A B\n", *more)["wer"]["err"] == 0
    with pytest.raises(UserError, match="'tacotrn' is not known .*'tacotron'"):
        counted(tmp_path, "u1 A\n", "u1 A\n", "--cleaner", "tacotrn")

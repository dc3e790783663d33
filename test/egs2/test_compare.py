# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import importlib
import subprocess
from pathlib import Path

import pytest

from espnet_prune.utils import UserError, read_yaml, write_yaml

RECIPE = Path(__file__).parents[2] / "egs2" / "an4" / "asr_prune1"
FAKE = r"""#!/usr/bin/env bash
# a stand-in for prune.sh: notes the start and the end, fails where it is told to
while [ $# -gt 0 ]; do
    case "$1" in --dense_exp) exp=$2 ;; --prune_exp) exp=$2 ;; esac
    shift
done
echo "start ${exp##*/}" >> calls.txt
sleep 0.2
echo "end ${exp##*/}" >> calls.txt
[ ! -e "fail_${exp##*/}" ]
"""


@pytest.fixture
def compare(monkeypatch, tmp_path):
    """The module, and a directory with the configurations it needs."""
    monkeypatch.syspath_prepend(str(RECIPE / "local"))
    module = importlib.import_module("compare")
    monkeypatch.chdir(tmp_path)
    budget = {"kind": "params", "sparsity": 0.1, "frames": 1000}
    prune = {"method": "l0", "budget": budget, "distill_conf": {"w_ctc": 1.0}}
    write_yaml({**prune, "train_conf": {"max_epoch": 6}}, "prune.yaml")
    recover = {"max_epoch": 4, "scheduler_conf": {"first_cycle_steps": 100}}
    write_yaml({**recover, "distill_conf": {"w_ctc": 1.0}}, "recover.yaml")
    write_yaml({"encoder": "conformer"}, "train.yaml")
    Path("prune.sh").write_text(FAKE)
    Path("prune.sh").chmod(0o755)
    return module


def arguments(compare, *more):
    words = "--expdir exp --asr_config train.yaml --prune_config prune.yaml "
    words += "--recover_config recover.yaml --inference_config beam.yaml"
    return compare.get_parser().parse_args([*words.split(), *more])


def test_the_configurations_differ_only_where_they_should(compare):
    methods = ["l0_kd", "l0", "magnitude", *compare.MACS]
    args = arguments(compare, "--methods", *methods, "--sizes", "50", "70")
    assert compare.epochs(args) == (6, 4)
    conf = {k: read_yaml(v) for k, v in compare.write_confs(args, 10).items()}
    assert conf["l0_kd_70"]["budget"] == {
        "kind": "params", "sparsity": 0.7, "frames": 1000
    }  # fmt: skip
    macs = {"kind": "macs", "sparsity": 0.5, "frames": 1000}
    assert conf["l0_kd_macs_50"] == {**conf["l0_kd_50"], "budget": macs}
    blocks = conf["l0_kd_blocks_50"]
    assert blocks["budget"] == macs
    assert "head" in blocks["units"] and "wave_channel" not in blocks["units"]
    assert conf["l0_kd_parts_50"]["budget"] == {
        "kind": "macs", "cnn": 0.5, "transformer": 0.5, "frames": 1000
    }  # fmt: skip
    assert all(conf[f"recover_{m}"] == conf["recover_l0_kd"] for m in compare.MACS)
    assert conf["l0_kd_50"].pop("distill_conf") == {"w_ctc": 1.0}
    assert conf["l0_kd_50"] == conf["l0_50"]
    assert set(conf["magnitude_50"]) == {"method", "budget"}
    write_yaml({**read_yaml("prune.yaml"), "budget": {"cnn": 0.5}}, "prune.yaml")
    with pytest.raises(UserError, match="compare.sh goes with one sparsity"):
        compare.write_confs(args, 10)
    # the same number of epochs after the dense model, and a teacher only for l0_kd
    assert conf["recover_l0_kd"].pop("distill_conf") == {"w_ctc": 1.0}
    assert conf["recover_l0_kd"] == conf["recover_l0"]
    assert conf["recover_l0"]["max_epoch"] == 4
    # the learning rate ends where it did
    assert conf["recover_magnitude"] == {
        "max_epoch": 10,
        "scheduler_conf": {"first_cycle_steps": 250},
    }


def run(compare, *more):
    args = arguments(compare, *more)
    jobs = compare.plan(args, compare.write_confs(args, 10))
    failed = compare.run_all(args, jobs)
    calls = Path("calls.txt").read_text().splitlines()
    return jobs, [job.name for job in failed], calls


def test_jobs_wait_for_their_dense_model_and_run_side_by_side(compare):
    more = ("--methods", "l0_kd", "l0", "--sizes", "50", "--seeds", "1", "2")
    jobs, failed, calls = run(compare, *more)
    names = [job.name for job in jobs]
    assert names == ["dense_s1", "dense_s2", "l0_kd_50_s1", "l0_kd_50_s2", "l0_50_s1"]
    assert failed == []
    for name in names[2:]:
        dense = f"end dense_s{name[-1]}"
        assert calls.index(dense) < calls.index(f"start {name}")
    running, most = 0, 0
    for line in calls:
        running += 1 if line.startswith("start") else -1
        most = max(most, running)
    assert most == 2  # --max_jobs


def test_the_dense_model_goes_on_as_long_as_the_others(compare):
    write_yaml({"encoder": "conformer", "max_epoch": 30, "optim": "adam"}, "train.yaml")
    more = ("--methods", "dense_long", "--sizes", "50", "70", "--seeds", "1")
    jobs, failed, calls = run(compare, *more)
    assert calls == [
        f"{x} {n}" for n in ("dense_s1", "dense_long_0_s1") for x in ("start", "end")
    ]
    conf = read_yaml(jobs[1].options[jobs[1].options.index("--asr_config") + 1])
    assert conf["max_epoch"] == 10 and conf["encoder"] == "conformer"
    assert "distill_conf" not in conf
    assert jobs[1].options[-1].endswith("--init_param exp/dense_s1/valid.acc.ave.pth")


def test_a_failure_stops_only_what_depends_on_it(compare):
    Path("fail_dense_s1").touch()
    more = ("--methods", "l0_kd", "--sizes", "50", "70", "--seeds", "1", "2")
    _, failed, calls = run(compare, *more)
    assert failed == ["dense_s1", "l0_kd_50_s1", "l0_kd_70_s1"]
    assert "end l0_kd_70_s2" in calls


def test_unknown_method(compare):
    words = ["--methods", "l0_dk", "--expdir", "exp"]
    for name in ("asr", "prune", "recover", "inference"):
        words += [f"--{name}_config", f"{name}.yaml"]
    with pytest.raises(UserError, match="'l0_dk'.*did you mean 'l0_kd'"):
        compare.main(words)


def write_results(exp, errors):
    """A scored model: two utterances of ten words per set, with these errors."""
    for s in ("dev", "test"):
        for measure in ("wer", "cer"):
            folder = exp / "beam_asr_model_best" / s / f"score_{measure}"
            folder.mkdir(parents=True)
            lines = [
                f"id: (spk-u{i})\nScores: (#C #S #D #I) {10 - n} {n} 0 0\n"
                for i, n in enumerate(errors)
            ]
            (folder / "result.txt").write_text("".join(lines))


def cost_of(rows, frames):
    """Instead of building models: dense, and half of it."""
    half = dict(wave_channels=[3, 2], linear_units=[0, 5], kept_blocks=[0, 1])
    full = dict(wave_channels=[6, 6], linear_units=[9, 9], kept_blocks=[0, 1])
    return [
        dict(
            name=row.name,
            encoder_params=2_000_000 // n,
            total_params=2_000_000,
            gmacs=1.0 / n,
            bytes=8_000_000 // n,
            latency={"min_ms": 60.0 / n},
            structure=half if n > 1 else full,
        )
        for n, row in enumerate(rows, start=1)
    ]


def test_the_table(compare, tmp_path, monkeypatch):
    from espnet_prune.report import results

    monkeypatch.setattr(results, "measure", cost_of)
    table = importlib.import_module("compare_table")
    errors = {
        ("dense", 0, 1): [1, 1],
        ("dense", 0, 2): [1, 3],
        ("l0_kd", 50, 1): [2, 2],
        ("l0_kd", 50, 2): [2, 4],
        ("l0_kd", 50, 3): None,  # not finished
        ("l0", 50, 2): [4, 3],
        ("l0", 70, 2): [4, 3],
        ("magnitude", 50, 3): [4, 3],
        ("dense_long", 0, 1): [0, 0],
    }
    points = [(*key, tmp_path / "_".join(map(str, key))) for key in errors]
    given = ("beam", "best.pth", ["dev", "test"], tmp_path, {})
    assert table.write(points, *given).startswith("nothing is finished yet")
    for point in points:
        if errors[point[:3]] is None:
            continue
        write_results(point[3], errors[point[:3]])
        for name in ("config.yaml", "best.pth"):
            (point[3] / name).touch()
    text = table.write(points, *given, samples=200)
    head = [cell.strip() for cell in text.splitlines()[0].strip("| ").split("|")]
    assert head[5:] == [f"WER {s}" for s in ("test", "dev", "dev+test")] + [
        "against dense, test", "against dense, dev+test"
    ]  # fmt: skip
    row = next(x for x in text.splitlines() if x.startswith("| l0_kd"))
    cells = [cell.strip() for cell in row.strip("| ").split("|")]
    assert cells[:5] == ["l0_kd", "50 %", "1 2", "1 M", "0.5"]
    assert cells[5].startswith("25.00 [") and cells[7].startswith("25.00 [")
    assert cells[8:] == ["+10.00 [+10.00, +10.00]"] * 2  # each utterance has one more
    for name in ("wer_over_macs", "remains"):
        assert (tmp_path / "images" / f"{name}.png").stat().st_size > 1000
    written = (tmp_path / "RESULTS.md").read_text()
    assert "- date: " in written and "30.0 (50%)" in written
    # of one size or dense_long, with a seed in common; of 20 words each
    _, pairs = written.split("The first method against the others")
    cells = [[cell.strip() for cell in x.split("|")] for x in pairs.splitlines()]
    own = [row[2:-1] for row in cells if row[1:2] == ["l0_kd"]]
    assert own == [
        ["50 %", "l0", "2", *["-5.00 [-20.00, +10.00]"] * 6],
        ["50 %", "dense_long", "1", *["+20.00 [+20.00, +20.00]"] * 6],
    ]
    assert "test: 2 utterances, dev: 2 utterances, dev+test: 4" in written
    assert "says nothing about other speakers" in written


def test_intervals_are_drawn_by_speaker(compare, tmp_path):
    """One speaker is understood, the other never; labels of result.txt name them."""
    scores = importlib.import_module("compare_scores")
    (tmp_path / "dump/raw/test").mkdir(parents=True)
    utts = [f"{s}-1-u{i}" for s in "gb" for i in range(9)]
    spk = "".join(f"{u}\t{u[:3]}\n" for u in utts)
    (tmp_path / "dump/raw/test/utt2spk").write_text(spk)
    lines = [
        f"id: ({u[:3]}-{u})\nScores: (#C #S #D #I) {5 * (u[0] == 'g')} "
        f"{5 * (u[0] == 'b')} 0 0\n"
        for u in utts
    ]
    for measure in ("wer", "cer"):
        folder = tmp_path / "x/beam/test" / f"score_{measure}"
        folder.mkdir(parents=True)
        (folder / "result.txt").write_text("".join(lines))
    found = scores.read_point(tmp_path / "x", "beam", ["test"])
    speakers = scores.read_speakers(tmp_path / "dump/raw", ["test", "dev"])
    assert len(speakers) == 18 and set(speakers.values()) == {"g-1", "b-1"}

    def interval(speakers):
        draw = scores.Draw(400, speakers)
        values = scores.figures({0: found["wer", "test"]}, {}, draw)
        return values["interval"], values["drawn"]

    assert interval(speakers) == ([0.0, 100.0], "2 speakers")
    (low, high), drawn = interval({})
    assert 20 < low < high < 80 and drawn == "18 utterances"


def test_a_conformer_of_the_same_size(compare):
    dense = {"output_size": 48, "attention_heads": 4, "linear_units": 96}
    dense.update(num_blocks=2, macaron_style=True, rel_pos_type="latest")
    dense.update(pos_enc_layer_type="rel_pos", selfattention_layer_type="rel_selfattn")
    config = {"encoder": "conformer", "encoder_conf": dense, "max_epoch": 3}
    small = compare.uniform_config(config, 0.7)
    assert {k: v for k, v in small.items() if k != "encoder_conf"} == {
        "encoder": "conformer",
        "max_epoch": 3,
    }
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    def size(conf):
        return sum(p.numel() for p in ConformerEncoder(80, **conf).parameters())

    assert size(small["encoder_conf"]) == pytest.approx(0.3 * size(dense), rel=0.02)
    changed = {k for k in dense if small["encoder_conf"][k] != dense[k]}
    assert changed <= {"output_size", "linear_units"}


def test_compare_sh_options():
    done = subprocess.run(
        ["local/compare.sh", "--sedes", "1"],
        cwd=RECIPE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "the nearest is --seeds" in done.stderr
    done = subprocess.run(
        ["local/compare.sh", "--help"], cwd=RECIPE, capture_output=True, text=True
    )
    assert done.returncode == 0 and "--other_seeds" in done.stdout

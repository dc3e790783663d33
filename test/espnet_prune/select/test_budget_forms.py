# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What may stand under `budget:`, and what is said when it may not."""

import pytest
import torch

from espnet_prune import UserError, cost, unit_graph
from espnet_prune.select.budget import (
    UNIT_KINDS,
    Budget,
    Target,
    check_reachable,
    with_frames,
)
from espnet_prune.select.layers.asked import number_to_remove
from test.espnet_prune.encoder_zoo import LATEST, build, stock_class
from test.espnet_prune.tables import table_of

PARTS = {"kind": "params", "cnn": 0.4, "transformer": 0.6}
BOTH = [{"kind": "params", "sparsity": 0.5}, {"kind": "macs", "sparsity": 0.3}]


@pytest.mark.parametrize(
    "conf,names,targets",
    [
        ({}, ["params"], [Target("params", 0.5, 1000)]),
        (
            {"kind": "macs", "sparsity": 0.3, "frames": 500},
            ["macs"],
            [Target("macs", 0.3, 500)],
        ),
        (
            PARTS,
            ["front_params", "blocks_params"],
            [
                Target("params", 0.4, part="front"),
                Target("params", 0.6, part="blocks"),
            ],
        ),
        (BOTH, ["params", "macs"], [Target("params", 0.5), Target("macs", 0.3)]),
        (
            {"kind": "ms", "limit": 40, "threads": 2, "seconds": 30},
            ["ms"],
            [Target("ms", 0.0, 3000, limit=40.0, threads=2)],
        ),
        (
            [{"kind": "ms", "front": 0.3, "latency": "a"}, {"limit": 800000}],
            ["front_ms", "params"],
            [
                Target("ms", 0.3, 1000, "front", latency="a"),
                Target("params", 0.0, limit=8e5),
            ],
        ),
        (
            [
                {"kind": "macs", "cnn": 0.4},
                {"kind": "macs", "frames": 100, "sparsity": 0.2},
                {"kind": "macs", "frames": 3000, "sparsity": 0.3},
            ],
            ["front_macs", "macs_100", "macs_3000"],
            [
                Target("macs", 0.4, 1000, "front"),
                Target("macs", 0.2, 100),
                Target("macs", 0.3, 3000),
            ],
        ),
    ],
)
def test_forms(conf, names, targets):
    budget = Budget.from_conf(conf)
    assert budget.names == names
    assert list(budget) == targets
    assert Budget.from_conf(budget.conf()) == budget
    half = [target.sparsity for target in budget.scaled(0.5)]
    assert half == [target.sparsity / 2 for target in targets]


@pytest.mark.parametrize(
    "conf,words",
    [
        (0.5, "not a mapping"),
        ([0.5], "not a mapping"),
        ([], "the list is empty"),
        ({"cnm": 0.4}, "did you mean 'cnn'"),
        ({"kind": ["params"]}, "is not one of"),
        ({"frames": True}, "frames True must be"),
        ({"frames": 10}, "frames 10 must be at least 20"),
        ({"cnn": 1.4}, "cnn 1.4 must be a number between 0 and 1"),
        ({"transformer": "half"}, "transformer 'half' must be a number"),
        ({"sparsity": float("nan")}, "must be a number between 0 and 1"),
        ({"sparsity": 0.5, "cnn": 0.4}, "sparsity is that of the whole.*or a list"),
        ({"limit": 9, "cnn": 0.4}, "limit is that of the whole.*or a list"),
        ({"limit": 9, "sparsity": 0.5}, "say the same; give one"),
        ({"limit": -1}, "limit -1 must be a number above 0"),
        ({"kind": "macs", "seconds": 3, "frames": 300}, "say the same; give one"),
        ({"kind": "macs", "seconds": "long"}, "seconds 'long' must be a length"),
        ({"kind": "ms", "runtime": "tflite"}, "'tflite' is not one of torch, onnx, "),
        ({"kind": "ms", "threads": 0}, "threads 0 must be a positive number"),
        ({"kind": "ms", "latency": 3}, "latency 3 must be the path of a table"),
        ({"kind": "ms", "of": "model"}, "those of the model are not measured"),
        ({"threads": 2}, "unknown key 'threads'"),
        (
            [{"kind": "ms", "seconds": n, "sparsity": 0.5} for n in (10, 30)],
            "all milliseconds are those of one table",
        ),
        (
            [{"kind": "ms", "runtime": "onnx", "front": 0.5}, {"kind": "ms"}],
            "the same seconds, runtime, threads",
        ),
        ([*BOTH, {"frames": 200}], "params of the encoder is asked for twice"),
        ([PARTS, {"cnn": 0.1}], "params of the front is asked for twice"),
    ],
)
def test_bad_forms(conf, words):
    with pytest.raises(UserError, match=words) as caught:
        Budget.from_conf(conf)
    assert "\n" not in str(caught.value)


def test_limits_are_shares_of_what_there_is():
    dense = unit_graph(build("latest")).dense
    full = cost(dense).params
    (target,) = Budget.from_conf({"limit": full / 4}).resolved(dense)
    assert target.sparsity == pytest.approx(0.75)
    assert Budget((target,)).conf()["limit"] == full / 4
    timed = table_of(dense).timed(dense)
    half = Budget.from_conf({"kind": "ms", "limit": cost(timed).ms / 2})
    assert half.resolved(timed).targets[0].sparsity == pytest.approx(0.5)
    with pytest.raises(UserError, match="no less than the .* without pruning"):
        Budget.from_conf({"limit": full}).resolved(dense)
    with pytest.raises(UserError, match="limit 3 of ms needs a table.*latency: FILE"):
        Budget.from_conf({"kind": "ms", "limit": 3}).resolved(dense)


def test_seconds_are_those_of_the_model():
    """At a hop of 8 ms 10 s are 1250 frames."""
    conf = with_frames([{"kind": "ms", "seconds": 20}, {"kind": "macs"}], 1250)
    assert [t.frames for t in Budget.from_conf(conf)] == [2500, 1250]


@pytest.mark.parametrize("conf", [PARTS, BOTH, {"transformer": 0.5}])
def test_block_searches_take_the_plain_form_only(conf):
    dense = unit_graph(build("latest")).dense
    with pytest.raises(UserError, match="method layers goes with one sparsity"):
        number_to_remove(dense, None, Budget.from_conf(conf))
    assert number_to_remove(dense, None, Budget.of("params", 0.2)) == 1
    timed = table_of(dense).timed(dense)
    assert number_to_remove(timed, None, Budget.of("ms", 0.2)) == 1


@pytest.mark.parametrize(
    "conf,kinds,round_to,words",
    [
        # the floor, and what holds it up
        (
            {"cnn": 0.999, "transformer": 0.5},
            UNIT_KINDS,
            1,
            r"0.999 of params of the front part cannot be reached; at most 0.9\d+ can "
            r"be removed \([\d,]+ of [\d,]+ stay\).*every convolution.*keeps 1 channel",
        ),
        ({"cnn": 0.9}, UNIT_KINDS, 8, "keeps 8 channel"),
        (
            {"transformer": 0.999},
            UNIT_KINDS,
            1,
            "of the blocks part.*because norms and other layers",
        ),
        (
            {"cnn": 0.5, "transformer": 0.5},
            ("ffn_unit", "module"),
            1,
            "of the front part.*subsampling_channel are not pruned",
        ),
        (
            {"transformer": 0.9},
            ("subsampling_channel",),
            1,
            "conv_channel, ffn_unit, head, module are not pruned",
        ),
        (
            [{"kind": "params"}, {"kind": "macs", "sparsity": 0.9999}],
            UNIT_KINDS,
            1,
            "of macs cannot.*every convolution.* and norms",
        ),
        ({}, UNIT_KINDS, 0, "round_to 0 must be a positive number"),
    ],
)
def test_out_of_reach(conf, kinds, round_to, words):
    graph = unit_graph(build("latest"))
    with pytest.raises(UserError, match=words) as caught:
        check_reachable(graph, kinds, Budget.from_conf(conf), round_to)
    assert "\n" not in str(caught.value)


def test_an_encoder_without_that_part():
    graph = unit_graph(build("linear"))
    words = "front 0.4 cannot be reached; this encoder has no units in that part"
    with pytest.raises(UserError, match=words):
        check_reachable(graph, UNIT_KINDS, Budget.from_conf(PARTS))
    check_reachable(graph, UNIT_KINDS, Budget.from_conf({"transformer": 0.6}))


def test_the_floor_is_reached():
    """What is said to be the most that can be removed can be removed."""
    with torch.device("meta"):
        graph = unit_graph(stock_class("conformer")(80, **LATEST))
    for part in ("cnn", "transformer", "sparsity"):
        with pytest.raises(UserError) as caught:
            check_reachable(graph, UNIT_KINDS, Budget.from_conf({part: 0.99999}))
        most = float(str(caught.value).split("at most ")[1].split()[0])
        check_reachable(graph, UNIT_KINDS, Budget.from_conf({part: most - 0.001}))
        with pytest.raises(UserError):
            check_reachable(graph, UNIT_KINDS, Budget.from_conf({part: most + 0.001}))

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import platform
import resource
import time

import pytest
import torch

from espnet_prune.measure.latency import Latency, as_json, measure_latency, quiet


class Sleeper(torch.nn.Module):
    """An encoder that takes a known time and notes how it is called."""

    def __init__(self, name, seconds, log):
        super().__init__()
        self.name, self.seconds, self.log = name, seconds, log

    def forward(self, feats, lengths):
        assert not self.training and not torch.is_grad_enabled()
        assert feats.shape == (1, 50, 7) and lengths.tolist() == [50]
        self.log.append((self.name, torch.get_num_threads()))
        time.sleep(self.seconds)


def test_encoders_take_turns_on_one_thread():
    log, before = [], torch.get_num_threads()
    encoders = {"a": Sleeper("a", 0.004, log), "b": Sleeper("b", 0.012, log)}
    sizes = {"frames": 50, "input_size": 7}
    found = measure_latency(encoders, runs=4, warmup=1, **sizes)
    assert "".join(name for name, _ in log) == "ab" + "abbaabba"
    assert {threads for _, threads in log} == {1}
    assert torch.get_num_threads() == before
    assert 4 <= found["a"].min_ms <= found["a"].median_ms
    assert found["a"].min_ms < found["b"].min_ms and found["b"].min_ms >= 12
    assert found["a"].runs == 4
    with pytest.raises(ValueError):
        measure_latency(encoders, runs=0, **sizes)


def test_ratios():
    found = as_json(Latency(5.0, 6.0, 3), Latency(10.0, 20.0, 3))
    assert found["min_ratio"] == 0.5 and found["median_ratio"] == 0.3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators")
def test_memory_stays_between_runs():
    """Pages that one run has got are there in the next."""

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(10_000_000)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    with quiet(1):
        faults()
        # of about 10,000; a system that is short of memory takes some of them back
        assert min(faults() for _ in range(5)) < 3000

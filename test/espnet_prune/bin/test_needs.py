# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What configurations need of the recipe, however their YAML is written."""

import pytest

from espnet_prune.bin import needs
from espnet_prune.utils import UserError


@pytest.mark.parametrize(
    "option, text, said",
    [
        ("prune", "budget: {}\n", "data"),  # l0, which trains
        ("prune", '{"method": "layers"}\n', "similarity"),
        ("prune", "method:\n    magnitude  # the baseline\n", ""),
        ("recover", "max_epoch: 3\n", "data"),
        ("recover", "{distill_conf: {}}\n", "data teacher"),
        ("recover", "# distill_conf: no\n", "data"),
    ],
)
def test_what_is_needed(option, text, said, tmp_path, capsys):
    (tmp_path / "x.yaml").write_text(text)
    needs.main([f"--{option}_config", str(tmp_path / "x.yaml")])
    assert capsys.readouterr().out == said + "\n"


def test_an_unknown_method_is_told(tmp_path):
    (tmp_path / "x.yaml").write_text("method: layer\n")
    with pytest.raises(UserError, match="x.yaml: method: .*did you mean 'layers'"):
        needs.main(["--prune_config", str(tmp_path / "x.yaml")])

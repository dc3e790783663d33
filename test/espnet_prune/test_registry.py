# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Our classes are known to ESPnet: as late as possible, and nothing on stdout."""

import subprocess
import sys

import pytest

from espnet_prune import with_registry


def run(*args):
    done = subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_with_registry_is_lazy_and_transparent(tmp_path):
    code = (
        "import sys; print(sys.argv[1:], [m for m in ('torch',) if m in sys.modules])"
    )
    wrapped = ["-m", "espnet_prune.with_registry"]
    assert run(*wrapped, "-c", code, "a", "-b")[:2] == (0, "['a', '-b'] []\n")
    script = tmp_path / "script.py"
    script.write_text(code)
    assert run(*wrapped, str(script), "c")[:2] == (0, "['c'] []\n")
    assert run(*wrapped, "-c", "raise SystemExit(3)")[0] == 3
    assert "usage" in run(*wrapped, "--help")[1]
    assert run(*wrapped)[0] == 2


def test_the_hook_serves_every_task_and_keeps_stdout_clean():
    code = """
import importlib, importlib.util
names = "asr slu st mt s2t s2t_ctc ssl cls diar enh_s2t s2st asr_transducer lm".split()
names = [f"espnet2.tasks.{name}" for name in names]
if importlib.util.find_spec("espnet3"):
    names.append("espnet3.systems.esp2_asr.task")
for name in names:
    module = importlib.import_module(name)
    found = [v for v in vars(module).values() if type(v).__name__ == "ClassChoices"]
    ours = [v.name for v in found if "pruned_conformer" in v.classes]
    ours += [v.name for v in found if "pruned_transformer_decoder" in v.classes]
    ours += [v.name for v in found if "kaldi_fbank" in v.classes]
    print(name.split(".")[-1], *sorted(set(ours)))
    # no registry of their kind is left out, whatever it is called
    kinds = dict(AbsEncoder=9, AbsDecoder=1, AbsFrontend=1)
    for choices in found:
        base = choices.base_type
        if base is not None and base.__module__.startswith("espnet2.asr."):
            theirs = [k for k in choices.classes.values() if "espnet_prune" in str(k)]
            assert len(theirs) >= kinds.get(base.__name__, 0), (name, choices.name)
"""
    status, out, err = run("-m", "espnet_prune.with_registry", "-c", code)
    assert status == 0, err
    served = dict(line.split(maxsplit=1) for line in out.splitlines() if " " in line)
    for name in "asr slu st mt s2t s2t_ctc ssl cls diar".split():
        assert "encoder" in served[name].split()
        assert "frontend" in served[name].split()
    for name in "asr slu st mt s2t".split():
        assert "decoder" in served[name].split()
    extra = ["extra_asr_decoder", "extra_mt_decoder", "extra_mt_encoder"]
    extra += ["hier_encoder", "md_encoder"]
    assert {*extra} <= set(served["st"].split())
    assert "promptencoder" in served["s2t_ctc"].split()
    assert {"unit_encoder", "asr_decoder", "st_decoder"} <= set(served["s2st"].split())
    assert {"asr_encoder", "st_encoder", "diar_encoder"} <= set(
        served["enh_s2t"].split()
    )
    served.setdefault("task", "encoder frontend")  # of espnet3, where it is
    assert {"encoder", "frontend"} <= set(served["task"].split())
    assert served["asr_transducer"] == "frontend" and "lm" not in served
    assert out.count("\n") in (13, 14)


def test_register_twice():
    import espnet_prune

    espnet_prune.register()
    espnet_prune.register()
    from espnet2.tasks.asr import encoder_choices

    from espnet_prune.encoders.pruned_conformer import PrunedConformerEncoder

    assert encoder_choices.get_class("pruned_conformer") is PrunedConformerEncoder
    finders = [
        f for f in sys.meta_path if type(f).__module__ == "espnet_prune.registry"
    ]
    assert len(finders) == 1


def test_the_installed_hook_is_lazy_and_harmless(tmp_path, monkeypatch, capsys):
    """What is written runs in every Python that starts in an environment."""
    monkeypatch.setattr(with_registry.sysconfig, "get_path", lambda name: str(tmp_path))
    with_registry.main(["--install"])
    assert "know pruned models from now on" in capsys.readouterr().out
    (file,) = tmp_path.iterdir()
    assert file == with_registry.hook_file() and file.suffix == ".pth"
    start = f"import site, sys; site.addsitedir({str(tmp_path)!r}); "
    known = "'pruned_conformer' in espnet2.tasks.asr.encoder_choices.classes"
    code = (
        "print([m for m in ('espnet_prune.registry', 'torch') if m in sys.modules]); "
        f"import espnet2.tasks.asr; print({known})"
    )
    status, out, err = run("-c", start + code)
    assert (status, out) == (0, "[]\nTrue\n"), err
    # a package that is not there any more
    gone = "sys.modules['espnet_prune'] = None; import espnet2; print(espnet2.__name__)"
    assert run("-c", start + gone)[:2] == (0, "espnet2\n")
    with_registry.main(["--uninstall"])
    assert not file.exists() and "ESPnet is as it was" in capsys.readouterr().out
    with_registry.main(["--uninstall"])
    monkeypatch.setattr(
        with_registry.sysconfig, "get_path", lambda name: str(tmp_path / "none")
    )
    with pytest.raises(SystemExit, match="espnet_prune_hook.pth: No such file"):
        with_registry.main(["--install"])

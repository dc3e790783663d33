def test_command(deployed, tmp_path, monkeypatch, capsys):
    """The model and a size below it, whose tokens lie above."""
    only(monkeypatch, "feed-forward")
    monkeypatch.setattr(decide, "in_turns", lambda *more: {"fp32": 2.0, "int8": 1.0})
    monkeypatch.setattr(command, "find_speech", lambda *given: deployed[1])
    out, size = tmp_path / "out", tmp_path / "out/size_50"
    shutil.copytree(deployed[0], out)
    size.mkdir()
    for name in ("model.onnx", "config.json"):
        shutil.copy(out / name, size)
    conf = ["--model", "m", "--output_dir", "o"]
    args = get_parser().parse_args([*conf, "--calibration", "x", "--weight_bits", "8"])
    found = command.write_smaller(args, {}, [out, size])
    assert list(found["int8"]) == ["", "size_50"]
    assert list(found["weights"]) == ["model.w8.onnx", "size_50/model.w8.onnx"]
    for folder in (out, size):
        assert read_json(folder / "config.json")["precision"] == "int8"
        assert read_json(folder / "int8.json")["parts"]
    assert "size_50\nint8 on" in capsys.readouterr().err
    for words, sentence in (
        (["--int8", "true"], "give speech by --calibration"),
        (["--max_wer_loss", "-1"], "--max_wer_loss must be"),
    ):
        with pytest.raises(UserError, match=sentence):
            command.check_options(get_parser().parse_args([*conf, *words]))

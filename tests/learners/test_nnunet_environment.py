"""nnU-Net's environment: ours while it works, the hospital's again afterwards, and silence on stdout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from konsil.learners.nnunet import environment

RAW, RESULTS, TRAINERS = "nnUNet_raw", "nnUNet_results", "nnUNet_extTrainer"


def test_variables_point_into_the_home_and_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("nnUNet_raw", "/hospital/raw")
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    with environment.at(tmp_path):
        assert os.environ[RAW] == str(tmp_path / "nnUNet_raw")
        assert Path(os.environ[TRAINERS], "konsil_trainer.py").is_file()
    assert os.environ[RAW] == "/hospital/raw"
    assert TRAINERS not in os.environ


def test_a_failure_inside_gives_them_back_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("nnUNet_results", "/hospital/results")
    with pytest.raises(ZeroDivisionError), environment.at(tmp_path):
        _ = 1 / 0
    assert os.environ[RESULTS] == "/hospital/results"


def test_prints_become_debug_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    with environment.at(tmp_path):
        print("please cite")
    assert capsys.readouterr().out == ""
    assert "please cite" in caplog.text

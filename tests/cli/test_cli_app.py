"""The entrance of the command: help, sentences instead of tracebacks."""

import errno

import pytest
import typer
from typer.testing import CliRunner

from konsil.cli import app as entrance
from konsil.errors import BadInput, Unavailable


def test_help_names_every_verb_of_the_design() -> None:
    text = CliRunner().invoke(entrance.assemble(), ["--help"]).output
    preparing = ["phantom", "scan", "deidentify", "convert", "qc", "register", "report"]
    federating = ["central", "site", "run", "take-part", "simulate", "predict", "evaluate", "stack", "demo"]
    missing = [verb for verb in preparing + federating if f" {verb} " not in text]
    assert missing == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BadInput("the inbox is empty", expected="DICOM files"), "the inbox is empty; expected DICOM files."),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (ModuleNotFoundError("no torch", name="torch"), "konsil[nnunet]"),
    ],
)
def test_an_error_ends_as_one_sentence_and_exit_code_1(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(entrance, "assemble", lambda: fail)
    with pytest.raises(SystemExit) as ending:
        entrance.main()
    said = capsys.readouterr().err
    assert ending.value.code == 1
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("the server does not answer"), 75),
        (OSError(errno.ENOENT, "No such file or directory"), 75),
        (OSError(errno.ENOSPC, "No space left on device"), 75),
        (BadInput("the inbox is empty", expected="DICOM files"), 1),
        (ModuleNotFoundError("no torch", name="torch"), 1),
    ],
)
def test_a_task_of_airflow_is_told_where_trying_again_may_help(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setenv("KONSIL_TRY_LATER", "75")
    monkeypatch.setattr(entrance, "assemble", lambda: fail)
    with pytest.raises(SystemExit) as ending:
        entrance.main()
    assert ending.value.code == code


def test_every_verb_explains_itself() -> None:
    command = typer.main.get_command(entrance.assemble())
    silent = [name for name, verb in command.commands.items() if not (verb.help or "").strip()]  # type: ignore[attr-defined]
    assert silent == []

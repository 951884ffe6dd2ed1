"""Whole files or none, and nothing left by writers that were killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from konsil import files
from konsil.errors import BadInput
from konsil.files import read_json, replacing, sweep, working_folder, write_bytes, write_json, write_once


def killed_while_writing(folder: Path) -> None:
    """Another process begins a file and a folder, and is killed."""
    child = os.fork()
    if child == 0:
        with replacing(folder / "a.nii.gz") as part, working_folder(folder) as (inner, _):
            part.write_bytes(b"half")
            (inner / "volume.nii").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".part-*"))


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    killed_while_writing(tmp_path)
    assert len(parts(tmp_path)) == 2
    write_json(tmp_path / "b.json", {})
    with working_folder(tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json"]


def test_the_part_of_a_living_writer_stays(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as part, working_folder(tmp_path) as (folder, _):
        part.write_text("mine")
        write_bytes(tmp_path / "b", b"other")
        sweep(tmp_path, folders=True)
        assert folder.is_dir()
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert parts(tmp_path) == []


def test_a_child_that_inherits_the_handle_keeps_the_folder_of_a_dead_parent(tmp_path: Path) -> None:
    parent = os.fork()
    if parent == 0:
        with working_folder(tmp_path):
            if os.fork() == 0:
                time.sleep(0.8)  # the converter, still writing
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    sweep(tmp_path, folders=True)
    assert len(parts(tmp_path)) == 1
    deadline = time.monotonic() + 30
    while parts(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
        sweep(tmp_path, folders=True)
    assert parts(tmp_path) == []


@pytest.mark.parametrize("moment", ["mkdtemp", "claim"])
def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Several batches of a cohort work in one folder, and each sweeps it when it begins and ends."""
    swept: list[str] = []

    def after(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            made = real(*arguments, **named) if moment == "mkdtemp" else None
            if not swept:
                swept.extend(path.name for path in tmp_path.glob(".part-*"))
                sweep(tmp_path, folders=True)
            return made if moment == "mkdtemp" else real(*arguments, **named)

        return call

    owner = files.tempfile if moment == "mkdtemp" else files
    monkeypatch.setattr(owner, moment, after(getattr(owner, moment)))
    with working_folder(tmp_path) as (folder, _):
        (folder / "a.txt").write_text("whole")
        assert swept
        assert folder.name not in swept
        sweep(tmp_path, folders=True)
        assert (folder / "a.txt").is_file()
    assert not list(tmp_path.iterdir())


def test_of_two_writers_the_first_wins(tmp_path: Path) -> None:
    write_once(tmp_path / "key", b"first", mode=0o600)
    write_once(tmp_path / "key", b"second", mode=0o600)
    assert (tmp_path / "key").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("content", [b"[" * 100000, b"{", b"\xff", b"[]", b"", b"null"])
def test_json_that_is_none_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.json"):
        read_json(tmp_path / "a.json")

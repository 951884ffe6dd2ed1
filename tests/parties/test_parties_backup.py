"""A site in one file and back: it goes on, and what is damaged is refused whole."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.errors import KonsilError
from konsil.federation.audit_check import verify
from konsil.federation.steps import Finish
from konsil.files import write_bytes
from konsil.parties.backup import backup, restore
from konsil.parties.steering import go_on, hold
from konsil.trust.audit import Audit


@pytest.fixture
def world(make_enrolled: Callable[..., Any]) -> Any:
    made = make_enrolled()
    made.work_until(lambda: made.newest() == 1)
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_restored_site_goes_on_in_the_middle_of_a_run(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, out = world.home("A"), tmp_path / "a.tar"
    write_bytes(home / "inbox" / "IM1", b"raw")
    write_bytes(home / "policies" / ".part-x", b"half")
    monkeypatch.setenv("KONSIL_HOME", str(home))
    assert CliRunner().invoke(assemble(), ["backup", str(out)]).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    before = content(home)
    shutil.rmtree(home)
    assert CliRunner().invoke(assemble(), ["restore", str(out)]).exit_code == 0
    after = content(home)
    assert set(before) - set(after) == {"inbox/IM1", "policies/.part-x"}
    assert all(before[name] == after[name] for name in after if name != "audit.jsonl")
    assert (home / "keys" / "identity.json").stat().st_mode & 0o777 == 0o600
    assert [entry["event"] for entry in Audit(home / "audit.jsonl").entries()][-1] == "restored"
    Audit(home / "audit.jsonl").verify()
    assert {type(step) for step in world.work().values()} == {Finish}


@pytest.mark.parametrize("is_held", [True, False])
def test_a_site_that_was_held_before_the_backup_has_nothing_in_the_store_that_its_log_lacks(
    world: Any, tmp_path: Path, is_held: bool
) -> None:
    home, run, out = world.home("A"), world.charter.run, tmp_path / "a.tar"
    if is_held:
        hold(home, run)
    backup(home, out)
    world.work()  # the old home goes on after the backup, as far as it may
    shutil.rmtree(home)
    restore(out, home)
    if is_held:
        go_on(home, run)
    assert {type(step) for step in world.work().values()} == {Finish}
    with nullcontext() if is_held else pytest.raises(KonsilError, match=r"removed from its end|rewritten"):
        assert verify(home).heads > 0


def test_nothing_is_overwritten(world: Any, tmp_path: Path) -> None:
    home, out = world.home("A"), tmp_path / "a.tar"
    backup(home, out)
    kept = out.read_bytes()
    for place in (out, home / "a.tar"):
        with pytest.raises(KonsilError, match="a new file outside the home"):
            backup(home, place)
    assert out.read_bytes() == kept
    with pytest.raises(KonsilError, match="not empty"):
        restore(out, home)
    with pytest.raises(KonsilError, match="nobody lives"):
        backup(tmp_path / "nobody", tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def planted(source: Path, out: Path, member: tarfile.TarInfo, body: bytes = b"") -> None:
    """The backup with one more member in front."""
    with tarfile.open(source) as tar, tarfile.open(out, "w") as made:
        made.addfile(member, io.BytesIO(body))
        for each in tar:
            made.addfile(each, tar.extractfile(each))


def link() -> tarfile.TarInfo:
    info = tarfile.TarInfo("keys/link")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


@pytest.mark.parametrize("spoil", ["cut", "changed", "not a tar", "outside", "absolute", "link", "extra", "twice"])
def test_a_damaged_backup_restores_nothing(world: Any, tmp_path: Path, spoil: str) -> None:
    good, bad, home = tmp_path / "a.tar", tmp_path / "bad.tar", tmp_path / "new" / "home"
    backup(world.home("A"), good)
    whole = good.read_bytes()
    names = {"outside": "../out", "absolute": "/tmp/out", "extra": "keys/extra", "twice": "pass.json"}  # noqa: S108
    if spoil == "cut":
        bad.write_bytes(whole[: len(whole) // 2])
    elif spoil == "changed":
        bad.write_bytes(whole.replace(b'"event":"joined"', b'"event":"jumped"', 1))
    elif spoil == "not a tar":
        bad.write_bytes(b"hello" * 1000)
    else:
        planted(good, bad, link() if spoil == "link" else tarfile.TarInfo(names[spoil]))
    with pytest.raises(KonsilError, match="cannot be restored"):
        restore(bad, home)
    assert not home.exists()
    assert list(home.parent.iterdir()) == []

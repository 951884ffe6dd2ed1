"""What `konsil containers` refuses, and that nothing is half done; with an engine: tests/containers."""

import io
import json
import os
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.errors import BadInput, KonsilError, Missing, Unavailable
from konsil.files import sha256_of, write_json
from konsil.stack.copying import pack_folder, set_variables, unpack_folder
from konsil.stack.engine import Container, Stack
from konsil.stack.keeping import FOLDER, FORMAT, LIST, at_rest, backup_stack
from konsil.stack.restoring import checked, restore_home, restore_stack, settle
from konsil.stack.secrets import make
from konsil.stack.upgrading import refuse_unnamed, upgrade, wait_until_healthy
from konsil.stack.wishes import WORKER, Wish, variable_of

WISH = Wish("site", "localhost", ("A",), f"sha256:{'a' * 64}")
ENGINE = """#!/bin/sh
echo "$@" >> "$0.asked"
case "$1" in ps|volume) ;; stop|start) ;; *) echo "docker: the disk is full." >&2; exit 1 ;; esac
"""
"""Stands in for the engine where only the order of the calls is looked at, or that a failing one is told."""


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    make(WISH, tmp_path / "konsil-stack")
    return Stack(tmp_path / "konsil-stack", "konsil", WISH)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine on PATH that notes what it is asked for."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(ENGINE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return Path(f"{program}.asked")


@pytest.fixture
def saved(stack: Stack, tmp_path: Path) -> Path:
    """A backup of that stack with one volume, as `konsil containers backup` leaves it."""
    made = tmp_path / "saved"
    made.mkdir()
    pack_folder(stack.folder, made / FOLDER)
    (made / "a-data.tar").write_bytes(b"cohorts")
    listed(made)
    return made


def listed(made: Path) -> None:
    files = {path.name: sha256_of(path) for path in made.glob("*.tar")}
    write_json(made / LIST, {"format": FORMAT, "at": "2026-11-27T12:00:00+00:00", "konsil": "0", "files": files})


def test_without_an_engine_it_says_so(stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="docker is not installed"):
        Stack.at(stack.folder)


@pytest.mark.parametrize("verb", ["backup OUT", "upgrade", "uninstall --yes", "restore FILE --home a"])
def test_a_folder_that_is_no_stack_is_refused_in_words(verb: str, tmp_path: Path) -> None:
    end = CliRunner().invoke(assemble(), ["containers", *verb.split(), "--dir", str(tmp_path / "none")])
    assert isinstance(end.exception, Missing)
    assert "konsil init makes one" in str(end.exception)


def test_the_folder_comes_back_with_its_modes_under_its_new_place_and_name(saved: Path, stack: Stack) -> None:
    made = stack.folder.parent / "made"
    unpack_folder(saved / FOLDER, made)
    settle(made, Path("/srv/konsil"), "moved")
    for old in filter(Path.is_file, stack.folder.rglob("*")):
        new = made / old.relative_to(stack.folder)
        assert new.name == "stack.env" or new.read_bytes() == old.read_bytes()
        assert stat.S_IMODE(new.stat().st_mode) == stat.S_IMODE(old.stat().st_mode)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert variable_of(made, "KONSIL_STACK") == "/srv/konsil"
    assert variable_of(made, "COMPOSE_PROJECT_NAME") == "moved"
    assert variable_of(made, WORKER) == WISH.worker


def test_a_variable_is_set_once_and_other_lines_stay(tmp_path: Path) -> None:
    env = tmp_path / "stack.env"
    env.write_text("# ours\nA=1\nKONSIL_A_UI=8444\nA=2\n")
    set_variables(env, {"A": "3"})
    assert env.read_text() == "# ours\nKONSIL_A_UI=8444\nA=3\n"


def spoiled(saved: Path, how: str) -> None:
    """Damage a backup in one way."""
    told = json.loads((saved / LIST).read_text())
    if how == "changed":
        (saved / "a-data.tar").write_bytes(b"cohortz")
    elif how == "gone":
        (saved / "a-data.tar").unlink()
    elif how == "other format":
        write_json(saved / LIST, told | {"format": "konsil.backup/1"})
    elif how == "outside":
        write_json(saved / LIST, told | {"files": told["files"] | {"../x.tar": "0" * 64}})
    elif how in ("link", "upwards", "no stack"):
        with tarfile.open(saved / FOLDER, "w") as tar:
            member = tarfile.TarInfo("../up" if how == "upwards" else "a/place.json")
            member.type, member.linkname = (tarfile.SYMTYPE, "/etc/passwd") if how == "link" else (tarfile.REGTYPE, "")
            tar.addfile(member, io.BytesIO())
        listed(saved)


@pytest.mark.parametrize("how", ["changed", "gone", "other format", "outside", "link", "upwards", "no stack"])
def test_a_damaged_backup_restores_nothing(saved: Path, how: str, tmp_path: Path, asked: Path) -> None:
    spoiled(saved, how)
    with pytest.raises(BadInput, match="cannot be restored"):
        restore_stack(saved, tmp_path / "new" / "stack", say=print)
    assert not (tmp_path / "new" / "stack").exists()
    assert not asked.exists(), "the engine was not asked for anything"
    assert not (tmp_path / "new").exists() or not list((tmp_path / "new").iterdir())


def test_what_is_no_backup_or_unfinished_is_refused(saved: Path, tmp_path: Path) -> None:
    (saved / LIST).unlink()
    with pytest.raises(BadInput, match="written last"):
        checked(saved)
    with pytest.raises(BadInput, match="--home SLOT"):
        checked(tmp_path / "a.tar")


def test_nothing_is_written_over(saved: Path, stack: Stack, asked: Path) -> None:
    with pytest.raises(BadInput, match="The folder is not empty"):
        restore_stack(saved, stack.folder, say=print)
    with pytest.raises(BadInput, match="not there yet"):
        backup_stack(stack, saved, say=print)
    assert not asked.exists()


def test_an_engine_that_fails_leaves_no_folder(saved: Path, tmp_path: Path, asked: Path) -> None:
    with pytest.raises(KonsilError, match=r"has no image|the disk is full"):
        restore_stack(saved, tmp_path / "new", say=print)
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".part-*"))


def test_a_home_wants_a_place_that_there_is_and_a_file(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such place; expected a; got b"):
        restore_home(stack, "b", tmp_path / "b.tar")
    with pytest.raises(Missing, match=r"no backup a\.tar"):
        restore_home(stack, "a", tmp_path / "a.tar")


def container(service: str, *, running: bool = True) -> Container:
    return Container(f"id-{service}", service, "sha256:1", running, "healthy", ())


@pytest.mark.parametrize(
    ("leave_stopped", "fails", "is_started"), [(False, False, True), (True, False, False), (True, True, True)]
)
def test_a_database_rests_last_and_what_did_not_run_is_not_started(
    leave_stopped: bool, fails: bool, is_started: bool, asked: Path
) -> None:
    there = [container("a-api"), container("a-proxy", running=False), container("a-db")]
    try:
        with at_rest(there, leave_stopped=leave_stopped, say=print):
            if fails:
                raise OSError  # noqa: TRY301 - what happens then is the question
    except OSError:
        assert fails
    calls = asked.read_text().splitlines()
    assert calls[:2] == ["stop -t 60 id-a-api", "stop -t 60 id-a-db"]
    assert calls[2:] == (["start id-a-db id-a-api"] if is_started else [])


def test_a_pinned_worker_is_not_left_behind_by_an_upgrade(stack: Stack) -> None:
    before = (stack.folder / "stack.env").read_text()
    with pytest.raises(BadInput, match="by digest"):
        upgrade(stack, [Path("docker-compose.yaml")], say=print)
    assert (stack.folder / "stack.env").read_text() == before


def test_files_that_forget_a_running_service_are_refused() -> None:
    refuse_unnamed([container("a-api")], ["a-api", "a-db"])
    with pytest.raises(BadInput, match="a-worker-1"):
        refuse_unnamed([container("a-api"), container("a-worker-1")], ["a-api", "a-db"])


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> list[Container]:
    """What the engine would list of any stack."""
    found: list[Container] = []
    monkeypatch.setattr(Stack, "containers", lambda self: found)
    monkeypatch.setattr(Stack, "volumes", lambda self: {"a-data": "konsil_a-data"})
    return found


def test_containers_of_another_folder_are_not_touched(stack: Stack, there: list[Container]) -> None:
    there.append(replace(container("a-api"), secrets=(str(stack.folder / "a" / "place.json"),)))
    assert Stack.at(stack.folder).project == "konsil"
    there.append(replace(container("a-db"), secrets=(str(stack.folder.parent / "other" / "a" / "database"),)))
    with pytest.raises(BadInput, match="secrets of another folder"):
        Stack.at(stack.folder)


@pytest.mark.parametrize(("running", "health"), [(True, "unhealthy"), (True, "starting"), (False, "")])
def test_what_does_not_become_healthy_is_named(
    stack: Stack, there: list[Container], running: bool, health: str
) -> None:
    there.append(container("a-db"))
    wait_until_healthy(stack, 0)
    there.append(replace(container("a-api"), running=running, health=health))
    with pytest.raises(Unavailable, match=r"minutes: a-api\..*logs a-api tells why"):
        wait_until_healthy(stack, 0)


def test_nothing_is_taken_away_unless_it_is_meant(stack: Stack, there: list[Container], asked: Path) -> None:
    words = ["containers", "uninstall", "--dir", str(stack.folder)]
    end = CliRunner().invoke(assemble(), words, input="n\n")
    assert end.exit_code == 1
    assert "a-data" in end.output
    assert not asked.exists()
    assert (stack.folder / "a" / "place.json").exists()

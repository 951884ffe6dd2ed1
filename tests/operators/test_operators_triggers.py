"""The triggers poll the library and carry no secret."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from konsil.errors import Unavailable
from konsil.parties import wake
from operators.triggers import CharterTrigger, ReadyTrigger
from operators.wait import WaitOperator


async def first(trigger: Any, count: int = 1) -> list[Any]:
    found: list[Any] = []
    async for event in trigger.run():
        found.append(event)
        if len(found) == count:
            break
    return found


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    return tmp_path


def test_a_wait_ends_when_the_party_has_something_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []

    def watch(at: Path, run: str, phase: str | None) -> Any:
        def look() -> bool:
            looks.append((at, run, phase))
            if len(looks) == 1:
                raise Unavailable("the store does not answer")
            return len(looks) == 3

        return look

    monkeypatch.setattr(wake, "watch", watch)
    (event,) = asyncio.run(first(ReadyTrigger("run-1", "prepare", poll_s=0.001)))
    assert event.task_instance_state == "success"
    assert looks == [(home, "run-1", "prepare")] * 3


def test_each_charter_is_announced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([[], ["run-1"], ["run-1", "run-2"], ["run-2", "run-3"]])
    monkeypatch.setattr(wake, "addressed_charters", lambda home: next(answers))
    events = asyncio.run(first(CharterTrigger(poll_s=0.001), count=3))
    assert [event.payload for event in events] == [{"run": "run-1"}, {"run": "run-2"}, {"run": "run-3"}]


def test_what_was_announced_before_a_restart_is_not_announced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Store:
        def __init__(self) -> None:
            self.kept = ["run-1"]

        async def aget(self, key: str, default: Any) -> Any:
            return self.kept

        async def aset(self, key: str, value: Any) -> None:
            self.kept = value

    trigger, store = CharterTrigger(poll_s=0.001), Store()
    trigger.asset_state_store = store  # type: ignore[assignment]
    monkeypatch.setattr(wake, "addressed_charters", lambda home: ["run-1", "run-2"])

    async def watch() -> Any:
        stream = trigger.run()
        event = await anext(stream)
        follow = asyncio.ensure_future(anext(stream))
        while store.kept != ["run-1", "run-2"]:
            await asyncio.sleep(0.001)
        follow.cancel()
        return event

    assert asyncio.run(watch()).payload == {"run": "run-2"}


def test_triggers_can_be_stored_and_made_again() -> None:
    for trigger in (ReadyTrigger("run-1", "prepare", 2.0), CharterTrigger(3.0)):
        path, arguments = trigger.serialize()
        assert path == f"operators.triggers.{type(trigger).__name__}"
        assert type(trigger)(**arguments).serialize() == (path, arguments)
        assert not {"home", "key", "secret", "password"} & set(arguments)


def test_a_wait_names_its_trigger_with_templates_unrendered() -> None:
    wait = WaitOperator(task_id="w", run_name="{{ params.run }}", phase="release")
    assert wait.start_trigger_args is not None
    assert wait.start_trigger_args.trigger_cls == "operators.triggers.ReadyTrigger"
    assert ReadyTrigger(**(wait.start_trigger_args.trigger_kwargs or {})).phase == "release"
    assert "run_name" in ReadyTrigger.template_fields

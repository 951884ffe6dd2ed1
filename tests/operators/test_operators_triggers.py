"""The triggers poll the library and carry no secret."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from konsil.errors import Unavailable
from konsil.parties.lookout import Lookout
from operators.triggers import CharterTrigger, ExtensionTrigger, ReadyTrigger, pause_after
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

    def ready(lookout: Lookout, run: str, phase: str | None) -> bool:
        looks.append((lookout.home, run, phase))
        if len(looks) == 1:
            raise Unavailable("the store does not answer")
        return len(looks) == 3

    monkeypatch.setattr(Lookout, "ready", ready)
    (event,) = asyncio.run(first(ReadyTrigger("run-1", "prepare", poll_s=0.001)))
    assert event.task_instance_state == "success"
    assert looks == [(home, "run-1", "prepare")] * 3


def test_looks_are_quick_after_something_happened_and_rare_in_quiet_times() -> None:
    assert [pause_after(quiet_s, 0.5) for quiet_s in (0, 8, 16, 160, 1920, 10**6)] == [0.5, 0.5, 1, 10, 120, 120]


@pytest.mark.parametrize(("quiet_s", "pauses"), [(0.0, [0.5, 0.5]), (320.0, [20.0, 20.0])])
def test_a_wait_pauses_by_how_long_its_run_was_quiet(
    quiet_s: float, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, slept = iter([False, False, True]), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(Lookout, "ready", lambda lookout, run, phase: next(answers))
    monkeypatch.setattr(Lookout, "quiet_s", lambda lookout, run, since: quiet_s)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(first(ReadyTrigger("run-1")))
    assert slept[-2:] == pauses
    assert len(slept) == 2 + (quiet_s > 60), "a long quiet run looks at some time of its pause after a restart"
    assert all(0 <= seconds <= pauses[0] for seconds in slept)


def test_a_thousand_waits_share_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, looking, most = set[str](), [0], [0]

    def ready(lookout: Lookout, run: str, phase: str | None) -> bool:
        looking[0] += 1
        most[0] = max(most[0], looking[0])
        threads.add(threading.current_thread().name)
        looking[0] -= 1
        return True

    async def everybody() -> None:
        await asyncio.gather(*(first(ReadyTrigger(f"run-{number}")) for number in range(1000)))

    monkeypatch.setattr(Lookout, "ready", ready)
    asyncio.run(everybody())
    assert len(threads) == most[0] == 1


def test_each_charter_is_announced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([[], ["run-1"], ["run-1", "run-2"], ["run-2", "run-3"]])
    monkeypatch.setattr(Lookout, "addressed_charters", lambda lookout: next(answers))
    events = asyncio.run(first(CharterTrigger(poll_s=0.001), count=3))
    assert [event.payload for event in events] == [{"run": "run-1"}, {"run": "run-2"}, {"run": "run-3"}]


def test_each_extension_of_a_run_is_announced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([[], [("run-1", 5)], [("run-1", 5)], [("run-1", 8)]])
    monkeypatch.setattr(Lookout, "extensions", lambda lookout: next(answers))
    events = asyncio.run(first(ExtensionTrigger(poll_s=0.001), count=2))
    assert [event.payload for event in events] == [{"run": "run-1", "after": 5}, {"run": "run-1", "after": 8}]


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
    monkeypatch.setattr(Lookout, "addressed_charters", lambda lookout: ["run-1", "run-2"])

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
    for trigger in (ReadyTrigger("run-1", "prepare", 2.0), CharterTrigger(3.0), ExtensionTrigger(3.0)):
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

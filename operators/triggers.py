"""What the triggerer watches for us, by outbound polling alone: a site opens no port.

All triggers of a triggerer share one `Lookout` and one thread, because reading a bucket blocks: a thousand waiting runs
are one connection to the store and one look at a time. Just after something happened in a run it is looked at every
half second, later after a sixteenth of the time that it has been quiet, at the latest after two minutes. No key or
address is among their arguments (Airflow keeps those in its database): the home comes from the triggerer's own
environment.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TaskSuccessEvent, TriggerEvent

from konsil.errors import KonsilError
from konsil.settings import Settings
from konsil.types import Json

Found = TypeVar("Found")
LOOKS_PER_QUIET = 16  # a wait becomes a sixteenth longer at most than it had to be
SLOWEST_S = 120.0
LONG_QUIET_S = 60.0  # after a restart, waits that have been quiet for so long do not all look at once


@cache
def _watchman() -> ThreadPoolExecutor:
    """The one thread that looks, for all triggers of this process."""
    return ThreadPoolExecutor(1, "konsil-lookout")


async def in_turn(look: Callable[[], Found]) -> Found:
    """Look when everybody who asked earlier has had a turn; the event loop goes on meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(_watchman(), look)


def pause_after(quiet_s: float, first_s: float) -> float:
    """Seconds until the next look at a run in which nothing has happened for `quiet_s`."""
    return max(first_s, min(quiet_s / LOOKS_PER_QUIET, SLOWEST_S))


class ReadyTrigger(BaseTrigger):
    """Ends its task when the party of this place has a deed to do in `run_name` (see `WaitOperator`)."""

    template_fields = ("run_name",)

    def __init__(self, run_name: str, phase: str = "", poll_s: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.run_name = run_name
        self.phase = phase
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        arguments = {"run_name": self.run_name, "phase": self.phase, "poll_s": self.poll_s}
        return "operators.triggers.ReadyTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until there is something to do. A store that does not answer is asked again."""
        from konsil.parties.lookout import lookout

        home, began = Settings().home, time.time()
        quiet_s = lookout(home).quiet_s(self.run_name, began)
        if quiet_s > LONG_QUIET_S:
            await asyncio.sleep(random.uniform(0, pause_after(quiet_s, self.poll_s)))  # noqa: S311 - spreads load
        while not await self.look(home):
            await asyncio.sleep(pause_after(lookout(home).quiet_s(self.run_name, began), self.poll_s))
        yield TaskSuccessEvent()

    async def look(self, home: Path) -> bool:
        """Whether there is something to do, as far as it can be seen now."""
        from konsil.parties.lookout import lookout

        try:
            return await in_turn(lambda: lookout(home).ready(self.run_name, self.phase or None))
        except KonsilError as error:
            self.log.warning("cannot look into the bucket: %s", error.sentence)
            return False


class AnnouncingTrigger(BaseEventTrigger):
    """Fires once for everything new that `announced` tells of."""

    def __init__(self, poll_s: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.poll_s = poll_s

    @abstractmethod
    def announced(self, home: Path) -> dict[str, Json]:
        """A lasting name of each thing that is there now, and the payload of its event."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return f"operators.triggers.{type(self).__name__}", {"poll_s": self.poll_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for ever. What was seen is kept by Airflow, so that a restart fires nothing twice."""
        home = Settings().home
        seen: list[str] = await self.recall()
        while True:
            for name, payload in (await self.look(home)).items():
                if name not in seen:
                    seen.append(name)
                    yield TriggerEvent(payload)  # type: ignore[no-untyped-call]
                    await self.remember(seen)
            await asyncio.sleep(self.poll_s)

    async def look(self, home: Path) -> dict[str, Json]:
        """What is announced. Whatever goes wrong is told, and the next look may go better."""
        try:
            return await in_turn(lambda: self.announced(home))
        except KonsilError as error:
            self.log.info("nothing to be seen yet: %s", error.sentence)
        except Exception:  # a watcher that ends is not started again before Airflow is
            self.log.exception("cannot look into the bucket")
        return {}

    async def recall(self) -> list[str]:
        """What was announced before this triggerer started."""
        found = await self.asset_state_store.aget("seen", []) if self.asset_state_store is not None else []
        return [str(name) for name in found] if isinstance(found, list) else []

    async def remember(self, seen: list[str]) -> None:
        """Keep the newest thousand names (Airflow stores at most 64 KiB)."""
        if self.asset_state_store is not None:
            await self.asset_state_store.aset("seen", [*seen[-1000:]])


class CharterTrigger(AnnouncingTrigger):
    """Fires once for every charter that is addressed to this site and not yet decided on."""

    def announced(self, home: Path) -> dict[str, Json]:
        """Runs that wait for this site's decision."""
        from konsil.parties.lookout import lookout

        return {run: {"run": run} for run in lookout(home).addressed_charters()}


class ExtensionTrigger(AnnouncingTrigger):
    """Fires once for every extension of a run in which this place has a part."""

    def announced(self, home: Path) -> dict[str, Json]:
        """Runs that go on after their end, and the round they follow."""
        from konsil.parties.lookout import lookout

        return {f"{run} {after}": {"run": run, "after": after} for run, after in lookout(home).extensions()}

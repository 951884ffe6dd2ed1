"""What the triggerer watches for us, by outbound polling alone: a site opens no port.

Both triggers ask the library in a thread, because reading a bucket blocks. No key or address is among their arguments
(Airflow keeps those in its database): the home comes from the triggerer's own environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TaskSuccessEvent, TriggerEvent

from konsil.errors import KonsilError
from konsil.settings import Settings

SLOWEST = 4.0  # a quiet trigger pauses this many times longer than a busy one


class ReadyTrigger(BaseTrigger):
    """Ends its task when the party of this place has a deed to do in `run_name` (see `WaitOperator`)."""

    template_fields = ("run_name",)

    def __init__(self, run_name: str, phase: str = "", poll_s: float = 1.0, **kwargs: Any) -> None:
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
        from konsil.parties import wake

        home = Settings().home
        pause = self.poll_s
        look: Callable[[], bool] | None = None
        while True:
            try:
                if look is None:
                    look = await asyncio.to_thread(wake.watch, home, self.run_name, self.phase or None)
                if await asyncio.to_thread(look):
                    yield TaskSuccessEvent()
                    return
            except KonsilError as error:
                self.log.warning("cannot look into the bucket: %s", error.sentence)
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, self.poll_s * SLOWEST)


class CharterTrigger(BaseEventTrigger):
    """Fires once for every charter that is addressed to this site and not yet decided on."""

    def __init__(self, poll_s: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return "operators.triggers.CharterTrigger", {"poll_s": self.poll_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for ever. What was seen is kept by Airflow, so that a restart fires nothing twice."""
        home = Settings().home
        seen: list[str] = await self.recall()
        while True:
            for run in await self.look(home):
                if run not in seen:
                    seen.append(run)
                    yield TriggerEvent({"run": run})  # type: ignore[no-untyped-call]
                    await self.remember(seen)
            await asyncio.sleep(self.poll_s)

    async def look(self, home: Path) -> list[str]:
        """Runs that wait for this site's decision. Whatever goes wrong is told, and the next look may go better."""
        from konsil.parties import wake

        try:
            return await asyncio.to_thread(wake.addressed_charters, home)
        except KonsilError as error:
            self.log.info("no charters to be seen yet: %s", error.sentence)
        except Exception:  # a watcher that ends is not started again before Airflow is
            self.log.exception("cannot look for charters")
        return []

    async def recall(self) -> list[str]:
        """Runs that were announced before this triggerer started."""
        found = await self.asset_state_store.aget("seen", []) if self.asset_state_store is not None else []
        return [str(run) for run in found] if isinstance(found, list) else []

    async def remember(self, seen: list[str]) -> None:
        """Keep the newest thousand names (Airflow stores at most 64 KiB)."""
        if self.asset_state_store is not None:
            await self.asset_state_store.aset("seen", [*seen[-1000:]])

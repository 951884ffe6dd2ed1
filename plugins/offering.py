"""Airflow's answer about a DAG, with what this place has for its trigger form (`plugins.choices`).

A DAG file is read without anybody's home, every ten minutes; its form would lack what was frozen a minute ago. So the
choices are added where the browser asks for the form: to `GET /api/v2/dags/{dag_id}/details`, behind Airflow's own
login and rights, which have answered before anything is added. Whatever goes wrong here, the answer stays Airflow's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

DETAILS = re.compile(r"/api/v2/dags/(prepare_cohort|predict|join_federation|run_federation)/details")
log = logging.getLogger(__name__)


class Offering:
    """ASGI middleware; lies within Airflow's compression, so what it reads is plain JSON."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass everything on; hold back the answer about a DAG until its form is filled."""
        asked = DETAILS.search(scope.get("path", "")) if scope["type"] == "http" and scope["method"] == "GET" else None
        if asked is None or asked.end() != len(scope["path"]):
            return await self.app(scope, receive, send)
        answer = Held()
        await self.app(scope, receive, answer.keep)
        if answer.status == 200:
            answer.replace(await asyncio.to_thread(filled, asked[1], answer.body))
        return await answer.pass_on(send)


class Held:
    """An answer that is not sent yet."""

    def __init__(self) -> None:
        self.start: Message = {}
        self.body = b""

    @property
    def status(self) -> int:
        """As in HTTP; 0 before the answer has begun."""
        return int(self.start.get("status", 0))

    async def keep(self, message: Message) -> None:
        """Take a message of the application."""
        if message["type"] == "http.response.start":
            self.start = message
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    def replace(self, body: bytes) -> None:
        """Another body, and its length in the headers."""
        others = [(name, value) for name, value in self.start["headers"] if name.lower() != b"content-length"]
        self.start["headers"] = [*others, (b"content-length", str(len(body)).encode())]
        self.body = body

    async def pass_on(self, send: Send) -> None:
        """Send what was held back, if there was anything."""
        if self.start:
            await send(self.start)
            await send({"type": "http.response.body", "body": self.body})


def filled(dag_id: str, body: bytes) -> bytes:
    """The answer with choices; the same answer where they cannot be read."""
    from konsil.settings import Settings
    from plugins.choices import with_choices

    try:
        content = json.loads(body)
        content["params"] = with_choices(dag_id, content["params"] or {}, Settings().home)
        return json.dumps(content).encode()
    except Exception:  # the form must open even where the home is damaged: then its fields are typed in
        log.exception("The form of %s is shown without what this place has.", dag_id)
        return body

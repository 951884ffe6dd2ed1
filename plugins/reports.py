"""The tabs *Quality*, *Federation* and *Governance* in Airflow's navigation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

Message = MutableMapping[str, Any]


class WhenAsked:
    """The web application, built at the first request: every task process imports plugins, only the server serves."""

    def __init__(self) -> None:
        self._app: Callable[..., Awaitable[None]] | None = None

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Pass an ASGI request on."""
        if self._app is None:
            from plugins.app import build

            self._app = build()
        await self._app(scope, receive, send)


class KonsilPlugin(AirflowPlugin):
    """Hrefs are relative, so that they hold below any path prefix."""

    name = "konsil"
    fastapi_apps: ClassVar[list[Any]] = [{"app": WhenAsked(), "url_prefix": "/konsil", "name": "Konsil reports"}]
    external_views: ClassVar[list[Any]] = [
        {
            "name": "Quality",
            "href": "konsil/quality",
            "destination": "nav",
            "url_route": "quality",
            "nav_top_level": True,
        },
        {
            "name": "Federation",
            "href": "konsil/federation",
            "destination": "nav",
            "url_route": "federation",
            "nav_top_level": True,
        },
        {
            "name": "Governance",
            "href": "konsil/governance",
            "destination": "nav",
            "url_route": "governance",
            "nav_top_level": True,
        },
    ]

"""The tabs *Quality*, *Federation* and *Governance* in Airflow's navigation, and the choices in its trigger forms."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from plugins.icons import SHAPES, icon
from plugins.offering import App, Message, Offering, Receive, Send


class WhenAsked:
    """The web application, built at the first request: every task process imports plugins, only the server serves."""

    def __init__(self) -> None:
        self._app: App | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass an ASGI request on."""
        if self._app is None:
            from plugins.app import build

            self._app = build()
        await self._app(scope, receive, send)


class KonsilPlugin(AirflowPlugin):
    """Hrefs are relative, so that they hold below any path prefix."""

    name = "konsil"
    fastapi_apps: ClassVar[list[Any]] = [{"app": WhenAsked(), "url_prefix": "/konsil", "name": "Konsil reports"}]
    fastapi_root_middlewares: ClassVar[list[Any]] = [{"middleware": Offering, "name": "Konsil choices"}]
    external_views: ClassVar[list[Any]] = [
        {
            "name": name,
            "href": f"konsil/{name.lower()}",
            "destination": "nav",
            "url_route": name.lower(),
            "nav_top_level": True,
            "icon": icon(name),
        }
        for name in SHAPES
    ]

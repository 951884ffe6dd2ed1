"""What Airflow reads of the plugin itself."""

from __future__ import annotations

from urllib.parse import unquote
from xml.etree import ElementTree

from plugins.offering import Offering
from plugins.reports import KonsilPlugin


def test_every_tab_has_a_picture_that_needs_no_server() -> None:
    views = KonsilPlugin.external_views
    assert [view["name"] for view in views] == ["Quality", "Federation", "Governance"]
    for view in views:
        kind, _, drawing = view["icon"].partition(",")
        assert kind == "data:image/svg+xml"
        assert ElementTree.fromstring(unquote(drawing)).tag.endswith("svg")  # noqa: S314 - our own
    assert len({view["icon"] for view in views}) == len(views)


def test_hrefs_are_relative_below_any_prefix() -> None:
    assert [view["href"] for view in KonsilPlugin.external_views] == [
        "konsil/quality",
        "konsil/federation",
        "konsil/governance",
    ]


def test_forms_go_through_our_middleware() -> None:
    assert [one["middleware"] for one in KonsilPlugin.fastapi_root_middlewares] == [Offering]

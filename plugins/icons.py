"""What the tabs are recognised by in Airflow's navigation.

Each is a whole address of its own (RFC 2397), so that none is missing while the server is slow; dark lines on a white
tile, so that it is seen on a light, a dark and a chosen ground.
"""

from __future__ import annotations

from urllib.parse import quote

TILE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#1d4e79" stroke-width="2" '
    'stroke-linecap="round" stroke-linejoin="round">'
    '<rect x="0.5" y="0.5" width="23" height="23" rx="5" fill="#ffffff" stroke="#9fb3c8" stroke-width="1"/>{}</svg>'
)
SHAPES = {
    "Quality": '<circle cx="12" cy="12" r="7"/><path d="m9 12.2 2.2 2.2 3.8-4.4"/>',
    "Federation": (
        '<circle cx="12" cy="12.5" r="2"/><circle cx="12" cy="5.5" r="1.6"/><circle cx="5.8" cy="17" r="1.6"/>'
        '<circle cx="18.2" cy="17" r="1.6"/><path d="M12 7.3v3M7.2 16l2.9-2.1M16.8 16l-2.9-2.1"/>'
    ),
    "Governance": '<path d="M12 5v13M8.5 18h7M6 8h12M6 8l-2.4 5h4.8ZM18 8l-2.4 5h4.8Z"/>',
}
"""A tick, three places around one, a pair of scales."""


def icon(tab: str) -> str:
    """The address of a tab's picture."""
    return f"data:image/svg+xml,{quote(TILE.format(SHAPES[tab]))}"

"""Accounts of a place: Airflow's SimpleAuthManager, one random password per person of DESIGN section 1.

Good for one machine and for tests; a hospital uses its own login (docs/airflow.md). The passwords lie in a file of mode
600 that Airflow reads, and `konsil stack status` prints them.
"""

from __future__ import annotations

import secrets

from konsil.files import read_json, write_json
from konsil.stack.places import Place

SITE_ROLES = {"staff": "user", "reviewer": "user", "custodian": "user", "admin": "admin"}
CENTRE_ROLES = {"operator": "op", "admin": "admin"}


def roles(place: Place) -> dict[str, str]:
    """Airflow's role of each account of a place."""
    return CENTRE_ROLES if place.is_centre else SITE_ROLES


def passwords(place: Place) -> dict[str, str]:
    """Password of each account; made at the first call and kept."""
    path = place.airflow_home / "passwords.json"
    if not path.exists():
        write_json(path, {name: secrets.token_urlsafe(15) for name in roles(place)}, mode=0o600)
    return {name: str(password) for name, password in read_json(path).items()}

"""Health check of one component in its container: `python -m konsil.stack.alive scheduler`.

The API server of the place knows how the others are (`/api/v2/monitor/health`), and asking it costs a tenth of a second
where Airflow's own `jobs check` costs five. Only the standard library, because it runs every half minute in every
container. Exit code 0: healthy; 1 with a sentence: not.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECRET = Path("/run/secrets/place")
PART = {
    "api-server": "metadatabase",
    "scheduler": "scheduler",
    "dag-processor": "dag_processor",
    "triggerer": "triggerer",
    "worker": "metadatabase",  # Airflow knows no more of a worker: what it works with is there
}


def fault(component: str, states: Mapping[str, Any]) -> str:
    """What is wrong with a component by its API server's answer; empty when nothing is."""
    status = (states.get(PART[component]) or {}).get("status")
    return "" if status == "healthy" else f"{component}: {status or 'not reported'}"


def main() -> None:
    """Ask and end."""
    component = sys.argv[1]
    prefix = str(json.loads(SECRET.read_text(encoding="utf-8"))["prefix"])
    url = f"http://api:8080{prefix}/api/v2/monitor/health"
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            wrong = fault(component, json.load(answer))
    except OSError as error:
        wrong = f"the API server does not answer: {type(error).__name__}"
    if wrong:
        sys.exit(wrong)


if __name__ == "__main__":
    main()

"""NVIDIA FLARE's client script: receive the global model, add the site's constant, send it back."""

from __future__ import annotations

import nvflare.client as flare
from model import delta_for


def main() -> None:
    """Exchange until the run ends."""
    flare.init()
    site = flare.get_site_name()  # site-1, site-2, …
    delta = delta_for(int(site.rsplit("-", 1)[1]) - 1)
    while flare.is_running():
        received = flare.receive()
        params = {name: array + delta for name, array in received.params.items()}
        flare.send(flare.FLModel(params=params, meta={"NUM_STEPS_CURRENT_ROUND": 1}))


if __name__ == "__main__":
    main()

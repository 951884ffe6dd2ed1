"""The embedded S3 server of the centre in HOME; this process becomes the server."""

from __future__ import annotations

import sys
from pathlib import Path

from konsil.federation.enrolment_centre import store_server

store_server(Path(sys.argv[1])).become()

"""What a name may look like in an address of the tabs: plain words, so that none leads out of a folder."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}")

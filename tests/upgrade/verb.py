"""`konsil` with the instant learner in its registry, for the versions before and the one of today: verb.py WORDS…"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e" / "instant"))

from konsil.cli.app import main
from konsil.learners import registry

registry.LEARNERS["instant"] = "instant_learner:Instant"
main()

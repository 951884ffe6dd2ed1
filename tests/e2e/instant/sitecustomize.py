"""In the PYTHONPATH of a stack: every `konsil` verb started there knows the instant learner beside this file.

A learner is named by the charter and looked up in the registry, which a test cannot reach in another process. Other
programs (Airflow's own) are left alone.
"""

import sys

if "konsil.cli" in sys.orig_argv:
    from konsil.learners import registry

    registry.LEARNERS["instant"] = "instant_learner:Instant"

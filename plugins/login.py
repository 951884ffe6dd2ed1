"""The login of a hospital: Airflow's FAB auth manager, asked by name who may answer a question.

*Required Actions* names those who may answer (`KONSIL_REVIEWERS`, `KONSIL_CUSTODIANS`) by their accounts, and Airflow
compares what is named with an account's id. Under FAB that is a number of its database, which no setting can know
beforehand: without this class nobody could answer. Chosen by `[core] auth_manager`; the class's name has to hold
*FabAuthManager*, because Airflow's DAG processor looks for that word (airflow/dag_processing/collection.py).
"""

from __future__ import annotations

from typing import Any

from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager


class NamedFabAuthManager(FabAuthManager):
    """FAB, with the accounts of a question compared by name."""

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: Any) -> bool:
        """Whether this account is one of those that were named."""
        return user.get_name() in assigned_users

"""Airflow writes a configuration into AIRFLOW_HOME when it is imported: here into a folder that vanishes."""

import os
import tempfile

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="konsil-airflow-"))

"""Airflow writes a configuration into AIRFLOW_HOME when it is imported: here into a folder that vanishes."""

import atexit
import os
import shutil
import tempfile

if "AIRFLOW_HOME" not in os.environ:
    folder = tempfile.mkdtemp(prefix="konsil-airflow-")
    os.environ["AIRFLOW_HOME"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

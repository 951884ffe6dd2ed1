"""Tabs in Airflow's UI: read-only views over what lies in a place's folder."""

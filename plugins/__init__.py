"""Airflow plugins of Konsil: read-only views over a site's reports and runs."""

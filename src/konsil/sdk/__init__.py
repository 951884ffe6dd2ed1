"""Konsil from Python: drive a site's or the centre's Airflow as a person would in the browser."""

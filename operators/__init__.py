"""Airflow operators of Konsil: each stores its arguments and starts one `konsil` verb."""

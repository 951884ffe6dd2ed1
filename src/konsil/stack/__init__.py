"""Airflow instances and an S3 server on one machine: for the demo, development and tests of the whole path."""

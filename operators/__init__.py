"""One thin Airflow class per step: it stores its arguments, starts `konsil <verb>`, and hands on a small result."""

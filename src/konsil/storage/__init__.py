"""Buckets and objects: one protocol, a folder behind it for tests and shared drives, S3 for everything else."""

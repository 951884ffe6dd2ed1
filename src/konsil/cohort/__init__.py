"""A site's folder, the names of its cases, and frozen cohorts split by patient."""

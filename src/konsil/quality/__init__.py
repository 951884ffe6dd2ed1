"""Is this case good enough to learn from: brain masks, measures, a verdict in words, and pages for the reviewer."""

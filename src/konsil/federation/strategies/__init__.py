"""Rules that make one model of many updates: one algorithm, one file, named after it."""

"""When to retrain, the process that does it, which clips judge, and what was decided."""

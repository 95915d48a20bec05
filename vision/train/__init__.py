"""Training: one loop for every method, with progress, checkpoints and exact resume."""

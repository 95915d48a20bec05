"""What a model is worth on a panel, beside the usual rivals: regimes, anomaly scores, tokens."""

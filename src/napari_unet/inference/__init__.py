"""Image and checkpoint to scores to labels: tiles, engine, predictor, objects."""

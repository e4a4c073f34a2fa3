"""From an image and a checkpoint to scores and labels."""

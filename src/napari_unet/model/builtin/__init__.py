"""The checkpoints that ship with the package."""

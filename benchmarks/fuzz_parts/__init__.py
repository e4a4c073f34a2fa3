"""Parts of the fuzz of model files."""

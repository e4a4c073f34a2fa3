"""Parts of the benchmark of inference."""

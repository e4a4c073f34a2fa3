"""Which tiles an image is computed in, in which order, and how they become one image again."""

"""What an image is: axes, source, normalization, generated images."""

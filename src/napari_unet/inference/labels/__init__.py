"""Scores to labels: classes and objects, of images of any size; kept scores."""

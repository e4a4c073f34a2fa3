"""Training a model on whole data sets for hours, from a recipe: how the built-in models are made."""

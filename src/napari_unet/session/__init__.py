"""The one owner of state; knows neither napari nor Qt."""

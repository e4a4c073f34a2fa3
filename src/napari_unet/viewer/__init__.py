"""The napari side: layers, strokes, reader, writer, widgets."""

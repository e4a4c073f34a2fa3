"""A network made ready to run: devices, precision, memory, passes along an axis."""

"""The dock widget and its sections."""

"""From labels and what is known to a better checkpoint."""

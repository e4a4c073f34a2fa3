"""Labels and what is known about them, and how a network learns from that."""

"""Parts of ``models.py``."""

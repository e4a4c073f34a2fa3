"""Files at the edge, one format a module."""

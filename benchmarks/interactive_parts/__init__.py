"""The parts of the simulated annotator: tasks, annotator, protocols, rules and tables."""

"""Takes the name out of a study, before anything else may look at it."""

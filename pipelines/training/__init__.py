"""Training of the networks that come with MedViz."""

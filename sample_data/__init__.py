"""Real samples from the package registries, and phantoms with known answers."""

"""How a needle's way is found and measured: frame of the head, distances, targets, entries, search."""

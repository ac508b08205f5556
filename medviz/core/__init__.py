"""What the product talks about: types and errors, on numpy and the standard library alone."""

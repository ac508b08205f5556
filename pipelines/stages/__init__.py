"""One module per stage, named after the type it makes."""

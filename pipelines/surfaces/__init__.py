"""Closed surfaces from label maps: extraction, honest error figures, decimation, exchange files."""

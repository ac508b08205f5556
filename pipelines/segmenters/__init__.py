"""Segmenters, one file each: found by their file name, never imported to be listed."""

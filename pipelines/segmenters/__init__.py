"""Segmenters, one file each: a file that defines `segment`; it is read, never imported, to be listed."""

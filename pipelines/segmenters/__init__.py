"""Segmenters, one file each: a file is one when it defines `segment`; it is read, never imported, to be listed."""

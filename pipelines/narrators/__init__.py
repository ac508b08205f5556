"""Narrators, one file each: from a storyboard to sentences."""

"""Voices, one file each: from a sentence to sound."""

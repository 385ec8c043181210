"""Comparing the storage with what the database knows, both ways: what is too much there, and what is missing."""

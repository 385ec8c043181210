"""Blind indexes: the keys under which rows are found by an exact value, and how such a key is changed on a running site."""

"""Copies of conversations in other places: written by policy, read again, restored, and reached by every erasure."""

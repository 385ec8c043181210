"""Bringing conversations in from other places on a schedule: incremental, and safe to repeat."""

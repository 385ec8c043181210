"""Pure functions that seal, open, derive, index and sign. No Django, no state, no input or output (DESIGN §2)."""

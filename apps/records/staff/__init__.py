"""The staff's pages about storage, copies and sources."""

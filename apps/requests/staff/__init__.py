"""The staff's pages in the admin: the queue, one request, and what may be done with it. Metadata only, never content."""

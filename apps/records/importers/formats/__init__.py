"""One module for each format: `NAME`, `matches`, `identify` and `parse` for one conversation as a parsed JSON value."""

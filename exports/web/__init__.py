"""Web: pages, the API and downloads."""

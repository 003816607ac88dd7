"""The web side: pages, the API and downloads."""

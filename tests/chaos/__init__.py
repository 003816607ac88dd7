"""Whole sites under faults, counted from ledgers that are not the site's to bend: `make chaos`."""

"""Whole sites under faults, judged by ledgers that the site cannot change: `make chaos`."""

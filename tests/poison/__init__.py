"""Datasets that kill or block the process that reads them, for sites under test that are started with POISON=1."""

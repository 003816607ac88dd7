"""Datasets that kill or hold up whoever reads them, for whole sites under test that are started with POISON=1."""

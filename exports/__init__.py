"""Exports: a button that gives people their data, at any size."""

DISTRIBUTION = "carryall"

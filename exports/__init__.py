"""Exports: a button that gives people their data, at any size."""

__version__ = "0.1.0"
DISTRIBUTION = "carryall"

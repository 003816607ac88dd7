"""Exports: a button that gives people their data, at any size."""

from durable import __version__ as __version__

DISTRIBUTION = "carryall"

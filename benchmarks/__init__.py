"""Repeatable measurements: `make bench`. Each figure is the median of several runs in one session."""

"""Measurements that anyone can repeat: `make bench`. Each figure is the median of several runs in one session."""

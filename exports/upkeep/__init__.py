"""Upkeep: what runs on a schedule, and what checks the installation."""

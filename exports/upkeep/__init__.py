"""Upkeep: scheduled work, and checks of the installation."""

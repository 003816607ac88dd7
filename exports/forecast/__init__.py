"""Forecast: how far exports are, how long they take, and how large they will be."""

"""Forecasts of exports: progress, time left, rows and size."""

"""Intake: from a request to the export's row."""

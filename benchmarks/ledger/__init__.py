"""What is measured: bookings of eight columns, as many as it takes, the same on every machine."""

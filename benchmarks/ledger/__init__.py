"""The measured data: any number of bookings with eight columns, the same on every machine."""

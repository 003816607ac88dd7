"""A table of flights, for data from outside this project."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Flight(models.Model):
    """One line of flights.csv, with the column names of the file. Missing values are NULL.

    https://github.com/hadley/nycflights13 (CC0): every flight that left New York in 2013. Times of day are local, as
    numbers (1755 is 17:55); delays and air time are minutes, distance is miles.
    """

    year = models.SmallIntegerField()
    month = models.SmallIntegerField()
    day = models.SmallIntegerField()
    dep_time = models.IntegerField(null=True)
    sched_dep_time = models.IntegerField()
    dep_delay = models.IntegerField(null=True)
    arr_time = models.IntegerField(null=True)
    sched_arr_time = models.IntegerField()
    arr_delay = models.IntegerField(null=True)
    carrier = models.CharField(max_length=2)
    flight = models.IntegerField()
    tailnum = models.CharField(max_length=6, null=True)  # noqa: DJ001 - missing is not the same as empty
    origin = models.CharField(max_length=3)
    dest = models.CharField(max_length=3)
    air_time = models.IntegerField(null=True)
    distance = models.IntegerField()
    hour = models.SmallIntegerField()
    minute = models.SmallIntegerField()
    time_hour = models.DateTimeField(help_text="The scheduled hour of departure.")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["carrier", "time_hour"], name="flight_of_carrier_by_time"),
            models.Index(fields=["carrier", "id"], name="flight_of_carrier_by_key"),
        ]

    def __str__(self) -> str:
        return f"{self.carrier} {self.flight}"

"""Time zones of the demo shop's users."""

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser

from exports.demo.models import Customer


def time_zone(user: AbstractBaseUser) -> str:
    """Return the IANA name of the user's time zone, or settings.TIME_ZONE if the user is not a customer."""
    found = Customer.objects.filter(user_id=user.pk).values_list("time_zone", flat=True).first()
    return found or settings.TIME_ZONE

"""What the shop knows about a user."""

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser

from exports.demo.models import Customer


def time_zone(user: AbstractBaseUser) -> str:
    """The IANA name of the user's zone; settings.TIME_ZONE for a user who is no customer."""
    found = Customer.objects.filter(user_id=user.pk).values_list("time_zone", flat=True).first()
    return found or settings.TIME_ZONE

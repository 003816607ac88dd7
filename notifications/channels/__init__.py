"""The channels. To add one, write a module here or a `channels` module in any app, and its templates."""

from importlib import import_module
from pkgutil import iter_modules

from django.utils.module_loading import autodiscover_modules

from notifications.channels.base import Channel, channels
from notifications.kinds import DAILY, EMAIL, IN_APP

__all__ = ["Channel", "channels", "load"]

FIRST = (IN_APP, EMAIL, DAILY)
"""Modules whose channels come first on the page of preferences."""


def load() -> None:
    """Import every channel, so that it registers itself."""
    for name in dict.fromkeys([*FIRST, *(module.name for module in iter_modules(__path__))]):
        import_module(f"{__name__}.{name}")
    autodiscover_modules("channels")

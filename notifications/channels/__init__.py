"""The channels. To add one, write a module here or a `channels` module in any app, and its templates."""

from importlib import import_module
from pkgutil import iter_modules

from django.utils.module_loading import autodiscover_modules

from notifications.channels.base import Channel, channels

__all__ = ["Channel", "channels", "load"]


def load() -> None:
    """Import every channel, so that it registers itself."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    autodiscover_modules("channels")

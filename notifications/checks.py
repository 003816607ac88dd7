"""System checks: what would keep a notification from arriving is refused at the start, with the mend."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template

from notifications.channels import channels
from notifications.conf import notification_settings
from notifications.kinds import kinds
from notifications.rendering import template_name


@register(Tags.compatibility)
def check_settings(**_: Any) -> list[CheckMessage]:
    """NOTIFICATIONS holds known keys with usable values."""
    try:
        config = notification_settings()
    except TypeError as error:
        words = f"The NOTIFICATIONS setting has a wrong key: {error}."
        return [Error(words, hint="The keys stand in notifications/conf.py.", id="notifications.E001")]
    faults: list[CheckMessage] = []
    site = urlsplit(config.site_url)
    if site.scheme not in ("http", "https") or not site.hostname:
        words = f"NOTIFICATIONS['SITE_URL'] is {config.site_url!r}, so links in mails would lead nowhere."
        hint = "Set it to the site's public address, as https://example.com."
        faults.append(Error(words, hint=hint, id="notifications.E002"))
    if config.attachment_storage not in settings.STORAGES:
        words = f"NOTIFICATIONS['ATTACHMENT_STORAGE'] is {config.attachment_storage!r}, which is not in STORAGES."
        hint = "Choose one of: " + ", ".join(settings.STORAGES)
        faults.append(Error(words, hint=hint, id="notifications.E003"))
    return faults


@register(Tags.templates)
def check_templates(**_: Any) -> list[CheckMessage]:
    """Each kind has each channel's templates, and they compile."""
    names = [template_name(kind.key, file) for kind in kinds for channel in channels for file in channel.templates]
    return [fault for name in names for fault in _template_faults(name)]


def _template_faults(name: str) -> list[CheckMessage]:
    try:
        get_template(name)
    except TemplateDoesNotExist:
        hint = "Each kind of notification needs the templates that each channel names: add it."
        return [Error(f"The template {name} is missing.", hint=hint, id="notifications.E004")]
    except TemplateSyntaxError as error:
        return [Error(f"The template {name} is broken: {error}", hint="Mend the template.", id="notifications.E005")]
    return []

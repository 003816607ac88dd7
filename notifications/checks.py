"""System checks of the notifications app: settings and templates, with a hint for each fault."""

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
    """Check the keys and values of the NOTIFICATIONS setting."""
    try:
        config = notification_settings()
    except TypeError as error:
        words = f"The NOTIFICATIONS setting has an unknown key: {error}."
        return [Error(words, hint="See notifications/conf.py for the keys.", id="notifications.E001")]
    faults: list[CheckMessage] = []
    site = urlsplit(config.site_url)
    if site.scheme not in ("http", "https") or not site.hostname:
        words = f"NOTIFICATIONS['SITE_URL'] is {config.site_url!r}, so links in mails would be broken."
        hint = "Set it to the site's public URL, such as https://example.com."
        faults.append(Error(words, hint=hint, id="notifications.E002"))
    if config.attachment_storage not in settings.STORAGES:
        words = f"NOTIFICATIONS['ATTACHMENT_STORAGE'] is {config.attachment_storage!r}, which is not in STORAGES."
        hint = "Choose one of: " + ", ".join(settings.STORAGES)
        faults.append(Error(words, hint=hint, id="notifications.E003"))
    return faults


@register(Tags.templates)
def check_templates(**_: Any) -> list[CheckMessage]:
    """Check that each kind has the templates of each channel, and that they compile."""
    names = [template_name(kind.key, file) for kind in kinds for channel in channels for file in channel.templates]
    return [fault for name in names for fault in _template_faults(name)]


def _template_faults(name: str) -> list[CheckMessage]:
    try:
        get_template(name)
    except TemplateDoesNotExist:
        hint = "Add it: each kind of notification needs the templates of each channel."
        return [Error(f"The template {name} is missing.", hint=hint, id="notifications.E004")]
    except TemplateSyntaxError as error:
        return [Error(f"The template {name} is broken: {error}", hint="Fix the template.", id="notifications.E005")]
    return []

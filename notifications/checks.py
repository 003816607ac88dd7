"""System checks of the notifications app: settings and templates, with a hint for each fault."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template

from durable.registry import Registry
from notifications.channels import channels
from notifications.channels.chat import TO, service_of
from notifications.channels.push import key_fault
from notifications.conf import NotificationSettings, notification_settings
from notifications.kinds import kinds
from notifications.rendering import template_name


@register(Tags.compatibility)
def check_settings(**_: Any) -> list[CheckMessage]:
    """Check the values of the CARRYALL setting."""
    config = notification_settings()
    parts = (_site_faults, _webhook_faults, _push_faults, _chat_faults, _default_faults, _summary_faults)
    return [fault for part in parts for fault in part(config)]


def _site_faults(config: NotificationSettings) -> Iterator[CheckMessage]:
    site = urlsplit(config.site_url)
    if site.scheme not in ("http", "https") or not site.hostname:
        yield Error(
            f"CARRYALL['SITE_URL'] is {config.site_url!r}, so links in mails would be broken.",
            hint="Set it to the site's public URL, such as https://example.com.",
            id="notifications.E002",
        )
    if config.attachment_storage not in (None, *settings.STORAGES):
        yield Error(
            f"CARRYALL['ATTACHMENT_STORAGE'] is {config.attachment_storage!r}, which is not in STORAGES.",
            hint="Choose one of: " + ", ".join(settings.STORAGES),
            id="notifications.E003",
        )


def _webhook_faults(config: NotificationSettings) -> Iterator[CheckMessage]:
    for network in config.webhook_allowed_networks:
        try:
            ip_network(network)
        except ValueError as error:
            yield Error(
                f"CARRYALL['WEBHOOK_ALLOWED_NETWORKS'] has {network!r}, which is no network: {error}.",
                hint='Write networks as "10.1.0.0/16", and single machines as "10.1.2.3/32".',
                id="notifications.E006",
            )
    if config.webhooks_per_user and "webhook" not in channels:
        yield Error(
            "CARRYALL['WEBHOOKS_PER_USER'] is set, but the library of webhooks is not installed.",
            hint='Run `pip install "carryall[webhooks]"`, or set it to 0.',
            id="notifications.E007",
        )


def _push_faults(config: NotificationSettings) -> Iterator[CheckMessage]:
    if config.vapid_private_key and "push" not in channels:
        yield Error(
            "CARRYALL['VAPID_PRIVATE_KEY'] is set, but the libraries of push messages are not installed.",
            hint='Run `pip install "carryall[push]"`.',
            id="notifications.E008",
        )
    elif key_fault():
        yield Error(
            "CARRYALL['VAPID_PRIVATE_KEY'] is no key, so there are no push messages.",
            hint="Make one with `manage.py vapid_key`.",
            id="notifications.E009",
        )


def _chat_faults(config: NotificationSettings) -> Iterator[CheckMessage]:
    if (config.chat_urls or config.chat_schemes) and "chat" not in channels:
        yield Error(
            "CARRYALL['CHAT_URLS'] or CARRYALL['CHAT_SCHEMES'] is set, but the library of chats is not installed.",
            hint='Run `pip install "carryall[chat]"`.',
            id="notifications.E010",
        )
        return
    for number, url in enumerate(config.chat_urls, 1):
        if service_of(url.replace(TO, "43660123456")) is None:  # the URL itself has secrets
            yield Error(
                f"The URL number {number} of CARRYALL['CHAT_URLS'] is no URL of Apprise.",
                hint="Correct it: https://github.com/caronc/apprise lists the URLs of each service.",
                id="notifications.E011",
            )


def _default_faults(config: NotificationSettings) -> Iterator[CheckMessage]:
    for key, chosen in config.default_channels.items():
        unknown = [name for name in chosen if name not in channels]
        if key not in kinds or unknown:
            yield Error(
                f"CARRYALL['DEFAULT_CHANNELS'] has {(unknown or [key])[0]!r}, which is unknown.",
                hint=f"Kinds are {_keys(kinds)}; channels are {_keys(channels)}.",
                id="notifications.E012",
            )


def _summary_faults(config: NotificationSettings) -> Iterator[CheckMessage]:
    try:
        time.fromisoformat(config.daily_summary_at or "08:00")
    except ValueError:
        yield Error(
            f"CARRYALL['DAILY_SUMMARY_AT'] is {config.daily_summary_at!r}, which is no time of day.",
            hint='Write it as "08:00", or "" if nobody shall get a daily summary.',
            id="notifications.E013",
        )


def _keys(registry: Registry[Any]) -> str:
    return ", ".join(entry.key for entry in registry)


@register(Tags.templates)
def check_templates(**_: Any) -> list[CheckMessage]:
    """Check that each kind has the templates of each channel, and that they compile."""
    pairs = [(kind, channel) for kind in kinds for channel in channels if kind.allows(channel.key)]
    names = [template_name(kind.key, file) for kind, channel in pairs for file in channel.templates]
    return [fault for name in names for fault in _template_faults(name)]


def _template_faults(name: str) -> list[CheckMessage]:
    try:
        get_template(name)
    except TemplateDoesNotExist:
        return [
            Error(
                f"The template {name} is missing.",
                hint="Add it: each kind of notification needs the templates of each channel.",
                id="notifications.E004",
            )
        ]
    except TemplateSyntaxError as error:
        return [Error(f"The template {name} is broken: {error}", hint="Fix the template.", id="notifications.E005")]
    return []

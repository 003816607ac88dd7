"""Addresses inside the site: stored as paths without the sub-path under which a web server may serve the site.

A worker does not know that sub-path, and a row that one process writes is read by all others.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.urls import NoReverseMatch, get_script_prefix, reverse

from notifications.conf import notification_settings


def page_path(name: str, *args: object) -> str:
    """Return the path of a page inside the site, or "" if the site's URLs do not include it, or a worker has none."""
    if not hasattr(settings, "ROOT_URLCONF"):
        return ""
    try:
        return inside(reverse(name, args=args))
    except NoReverseMatch:
        return ""


def inside(path: str) -> str:
    """Return a path of this process, such as one from `reverse`, without the sub-path of the site."""
    prefix = get_script_prefix().rstrip("/")
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path


def here(path: str) -> str:
    """Return a path inside the site with the sub-path, for a redirect or a page of this process."""
    return get_script_prefix().rstrip("/") + path


def absolute(path: str) -> str:
    """Return the URL of a path inside the site, for a mail; "" for no path.

    The sub-path is that of SITE_URL, or else FORCE_SCRIPT_NAME.
    """
    if not path:
        return ""
    site = notification_settings().site_url.rstrip("/")
    return site + ("" if urlsplit(site).path else (settings.FORCE_SCRIPT_NAME or "").rstrip("/")) + path

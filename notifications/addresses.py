"""Which URLs and network addresses requests may go to that users have chosen: no address inside the site's network."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from notifications.conf import notification_settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
"""All that is assigned for use in the Internet. Loopback, link-local, mapped and translated addresses are outside."""
NOT_PUBLIC = tuple(map(ipaddress.IPv6Network, ("2002::/16", "2001::/32", "3fff::/20")))
"""6to4 and Teredo, which lead to the IPv4 address inside them, and documentation, which older Pythons do not know."""


class ForbiddenAddress(Exception):
    """The host has no address that requests may go to."""


def validate_url(url: str) -> None:
    """Validator of model fields. Raises ValidationError for a URL that requests may not go to.

    A host name is not resolved: what it resolves to may change, and is checked at each connection.
    """
    if fault := url_fault(url):
        raise ValidationError(fault, code="url")


def url_fault(url: str) -> str:
    """Return what is wrong with a URL and how to correct it, in a sentence for its owner, or ""."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not url.isascii() or not url.isprintable() or " " in url:
        return _("The URL has characters that are not allowed. Write them as %XX, and the host as xn--….")
    if not url.startswith(tuple(f"{scheme}://" for scheme in schemes())):
        return _("The URL must start with %(scheme)s.") % {"scheme": " / ".join(f"{each}://" for each in schemes())}
    if not host:
        return _("This is not a URL. Enter one such as https://example.com/hook.")
    if parts.username is not None or parts.password is not None:
        return _("The URL must not contain a user name or a password.")
    return "" if _may_be_public(host) else _("The address %(host)s is not public: choose another one.") % {"host": host}


def _may_be_public(host: str) -> bool:
    """Return False for an address that requests may not go to. A name is resolved at each connection only."""
    try:
        return is_allowed(ipaddress.ip_address(host))
    except ValueError:
        return True


def schemes() -> tuple[str, ...]:
    return ("https", "http") if settings.DEBUG or notification_settings().webhook_allow_http else ("https",)


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of `host` that requests may go to.

    Raises ForbiddenAddress if there are only others, and OSError if the name cannot be resolved. The wait is that of
    the machine's resolver.
    """
    found = dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    allowed = [address for address in found if is_allowed(ipaddress.ip_address(address))]
    if not allowed:
        raise ForbiddenAddress(f"{host} has no public address, only {', '.join(found)}.")
    return allowed


def is_allowed(address: Address) -> bool:
    """Return whether requests may go to this address: a public one, or one of WEBHOOK_ALLOWED_NETWORKS."""
    networks = map(ipaddress.ip_network, notification_settings().webhook_allowed_networks)
    return is_public(address) or any(address in network for network in networks)


def is_public(address: Address) -> bool:
    """Return whether the address is one of a single machine in the Internet."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in PUBLIC_IPV6 or any(address in network for network in NOT_PUBLIC)
    ):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved

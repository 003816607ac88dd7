"""Tests of the URLs and addresses that requests to users' own URLs may go to."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from notifications import addresses, checks

PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.1", "192.0.2.1",
    "192.168.1.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::a9fe:a9fe", "64:ff9b::8.8.8.8",
    "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "3fff::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "93.184.215.14", "2606:4700::6810:84e5", "2a00:1450:4001:81b::200e"]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not addresses.is_allowed(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert addresses.is_allowed(ipaddress.ip_address(address))


def test_a_site_may_allow_networks(settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WEBHOOK_ALLOWED_NETWORKS": ["10.1.0.0/16", "fd00::/8"]}
    allowed = [each for each in PRIVATE if addresses.is_allowed(ipaddress.ip_address(each))]
    assert addresses.is_allowed(ipaddress.ip_address("10.1.2.3"))
    assert allowed == ["fd00:ec2::254"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/", "must start with https://"),
        ("ftp://example.com/", "must start with https://"),
        ("javascript:alert(1)", "must start with https://"),
        ("example.com", "must start with https://"),
        ("https:///hook", "not a URL"),
        ("https://", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://example.com:99999/", "not a URL"),
        ("https://ada:password@example.com/", "user name"),
        ("https://127.0.0.1/", "not public"),
        ("https://[::1]/", "not public"),
        ("https://[::ffff:127.0.0.1]/", "not public"),
        ("https://exämple.com/", "not allowed"),
        ("https://example.com/a b", "not allowed"),
        ("https://example.com/\r\nX: y", "not allowed"),
        ("https://example.com/\x00", "not allowed"),
    ],
)
def test_a_wrong_url_is_refused_with_the_reason(url: str, words: str) -> None:
    assert words in addresses.url_fault(url)


@pytest.mark.parametrize("url", ["https://example.com", "https://example.com:8443/hook?token=1#2", "https://8.8.8.8/"])
def test_a_right_url_has_no_fault(url: str) -> None:
    assert addresses.url_fault(url) == ""


@pytest.mark.parametrize("key", ["DEBUG", "WEBHOOK_ALLOW_HTTP"])
def test_http_is_allowed_by_a_setting(settings: Any, key: str) -> None:
    if key == "DEBUG":
        settings.DEBUG = True
    else:
        settings.CARRYALL = settings.CARRYALL | {key: True}
    assert addresses.url_fault("http://example.com/") == ""
    assert "not public" in addresses.url_fault("http://127.0.0.1/")


def test_a_wrong_network_is_reported(settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WEBHOOK_ALLOWED_NETWORKS": ["10.1.0.1/16"]}
    [fault] = checks.check_settings()
    assert (fault.id, "10.1.0.1/16" in fault.msg) == ("notifications.E006", True)

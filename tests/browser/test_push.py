"""Browser tests of push messages in Chromium: the service worker shows them, and the page subscribes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as site
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from notifications.delivery import deliver
from notifications.models import PushSubscription
from tests.support.browser_keys import BrowserKeys, new_key
from tests.support.notices import make_user, tell
from tests.support.receiver import receiving

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PREFERENCES = "/notifications/preferences/"
SUBSCRIBED = """([endpoint, p256dh, auth]) => {
    PushManager.prototype.subscribe = function (options) {
        if (!options.userVisibleOnly || options.applicationServerKey.length !== 87) throw new Error("no key");
        return Promise.resolve({ toJSON: () => ({ endpoint, keys: { p256dh, auth } }) });
    };
}"""
"""What a push service in the Internet would answer. The browsers of tests cannot reach one."""


@pytest.fixture(scope="session", autouse=True)
def _queries_beside_playwright() -> Iterator[None]:
    """Let the tests query the database, although Playwright runs an event loop in their thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield


@pytest.fixture(autouse=True)
def _keys(settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {
        "VAPID_PRIVATE_KEY": new_key(), "WEBHOOK_ALLOW_HTTP": True, "WEBHOOK_ALLOWED_NETWORKS": ["127.0.0.0/8"],
    }  # fmt: skip


@pytest.fixture
def user(db: None) -> User:
    return make_user()


@pytest.fixture
def context(chromium: Browser, live_server: LiveServer, user: User) -> Iterator[BrowserContext]:
    """A browser in which the user is signed in and has allowed notifications."""
    client = Client()
    client.force_login(user)
    opened = chromium.new_context(base_url=live_server.url, permissions=["notifications"])
    session = client.cookies[site.SESSION_COOKIE_NAME].value
    opened.add_cookies([{"name": site.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if "Security Policy" in line.text else None)
    page.goto(PREFERENCES)
    yield page
    assert faults == []


def test_the_page_subscribes_and_the_worker_shows_the_message(
    page: Page, context: BrowserContext, user: User, live_server: LiveServer
) -> None:
    keys = BrowserKeys()
    with receiving() as service:
        page.evaluate(SUBSCRIBED, [service.url, *keys.public.values()])
        page.get_by_role("button", name="Notify me in this browser").click()
        expect(page.get_by_text(re.compile("since .* 20"))).to_be_visible()
        assert PushSubscription.objects.get().user == user
        notification = tell(user)
        deliver(notification.deliveries.get(channel="push").pk)
        message = keys.read(service.received[0].body)

    devtools = context.new_cdp_session(page)
    registered: list[Any] = []
    devtools.on("ServiceWorker.workerRegistrationUpdated", lambda event: registered.extend(event["registrations"]))
    devtools.send("ServiceWorker.enable")
    page.wait_for_function("navigator.serviceWorker.ready")
    [registration] = {each["registrationId"]: each for each in registered}.values()
    assert registration["scopeURL"] == f"{live_server.url}/notifications/"
    pushed = {"origin": live_server.url, "registrationId": registration["registrationId"], "data": json.dumps(message)}
    devtools.send("ServiceWorker.deliverPushMessage", pushed)
    page.wait_for_function(
        "async () => (await (await navigator.serviceWorker.ready).getNotifications()).length", timeout=10_000
    )
    shown = page.evaluate(
        """async () => (await (await navigator.serviceWorker.ready).getNotifications())
        .map(({ title, body, tag, data }) => ({ title, body, tag, data }))"""
    )
    assert shown == [message]


def test_a_refused_permission_and_an_unreachable_service_are_explained(page: Page, context: BrowserContext) -> None:
    button = page.get_by_role("button", name="Notify me in this browser")
    button.click()  # the browser has no way to a push service
    expect(page.get_by_text("The browser could not subscribe.")).to_be_visible()
    context.clear_permissions()
    page.reload()
    button.click()
    expect(page.get_by_text("You have not allowed notifications of this site.")).to_be_visible()
    assert not PushSubscription.objects.exists()


def test_without_javascript_the_page_says_what_is_missing(
    chromium: Browser, context: BrowserContext, live_server: LiveServer
) -> None:
    plain = chromium.new_context(base_url=live_server.url, java_script_enabled=False)
    plain.add_cookies(context.cookies())  # type: ignore[arg-type]
    page = plain.new_page()
    page.goto(PREFERENCES)
    expect(page.get_by_text("only with JavaScript")).to_be_visible()
    expect(page.get_by_role("button", name="Notify me in this browser")).to_be_hidden()
    plain.close()

"""Currency rates of the demo shop: a third party that answers, is busy, fails, talks nonsense, or says nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import Client

from durable.attempts import work
from durable.breaker import Breaker, BreakerOpen, guarded
from durable.clock import Now, database_now
from exports.demo import rates_client
from exports.demo.apps import update_rates
from exports.demo.models import ExchangeRate, RatesUpdate
from exports.demo.models.rates import PARTY
from exports.demo.rates_client import Away, BadAnswer, fetch, parsed

pytestmark = pytest.mark.django_db
GOOD = {"base": "EUR", "date": "2026-11-30", "rates": {"USD": 1.0823, "JPY": 163}}


class Party:
    """A third party on loopback. `answers` are (status, headers, body), the last one for all further requests."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = [(200, {}, json.dumps(GOOD).encode())]
        self.asked = 0
        self.silent = threading.Event()
        self.silent.set()
        party = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                party.asked += 1
                party.silent.wait(10)
                status, headers, body = party.answers.pop(0) if len(party.answers) > 1 else party.answers[0]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/rates"

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.answers = [(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)]


@pytest.fixture
def party(settings: Any) -> Iterator[Party]:
    found = Party()
    thread = threading.Thread(target=found.server.serve_forever)
    thread.start()
    settings.RATES_URL = found.url
    yield found
    found.silent.set()
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def attempted(job: RatesUpdate) -> RatesUpdate:
    """Return the job after one attempt of a worker."""
    RatesUpdate.objects.filter(pk=job.pk, next_attempt_at__isnull=False).update(next_attempt_at=Now())
    work(RatesUpdate, job.pk)
    job.refresh_from_db()
    return job


def wait_of(job: RatesUpdate) -> float:
    assert job.next_attempt_at is not None
    wait: timedelta = job.next_attempt_at - database_now(RatesUpdate)
    return wait.total_seconds()


def test_the_rates_are_stored_with_the_end_of_the_job(party: Party) -> None:
    job = attempted(RatesUpdate.start())
    assert (job.state, job.attempt) == ("done", 1)
    assert list(ExchangeRate.objects.values_list("currency", "rate", "day")) == [
        ("JPY", Decimal(163), date(2026, 11, 30)),
        ("USD", Decimal("1.0823"), date(2026, 11, 30)),
    ]


def test_the_schedule_opens_one_job_an_hour(party: Party, settings: Any) -> None:
    assert update_rates() == update_rates() == {"job": RatesUpdate.objects.get().pk}
    settings.RATES_URL = ""
    assert update_rates() == {}


def test_older_rates_do_not_replace_newer_ones(party: Party) -> None:
    ExchangeRate.objects.create(currency="USD", rate=2, day=date(2026, 12, 1))
    assert attempted(RatesUpdate.start()).state == "done"
    assert ExchangeRate.objects.get(currency="USD").rate == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_party_says_when_to_come_back(party: Party, status: int) -> None:
    party.answer(status, Retry_After="1234")
    job = attempted(RatesUpdate.start())
    assert (job.state, job.attempt) == ("waiting", 1)
    assert 1_200 < wait_of(job) <= 1_234
    assert f"answered {status}" in job.reason


def test_a_failing_party_is_asked_again_after_a_usual_pause(party: Party) -> None:
    party.answer(500)
    job = attempted(RatesUpdate.start())
    assert (job.state, 30 < wait_of(job) < 120) == ("waiting", True)
    party.answer(200, json.dumps(GOOD).encode())
    job = attempted(job)
    assert (job.state, job.attempt, job.reason) == ("done", 2, "")
    assert Breaker.objects.get(party=PARTY).failures == 0


def test_a_silent_party_is_given_up(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_client, "TIMEOUT", httpx.Timeout(0.3))
    party.silent.clear()
    assert "cannot be reached" in attempted(RatesUpdate.start()).reason


def test_a_closed_port(settings: Any) -> None:
    settings.RATES_URL = "http://127.0.0.1:9/rates"
    assert "127.0.0.1:9 cannot be reached" in attempted(RatesUpdate.start()).reason


def test_a_wrong_address_says_what_to_check(party: Party) -> None:
    party.answer(404)
    with pytest.raises(BadAnswer, match="answered 404 Not Found: check RATES_URL"):
        fetch(party.url)


def test_an_endless_answer_is_cut_off(party: Party) -> None:
    party.answer(200, b"x" * 2_000_000)
    with pytest.raises(BadAnswer, match="more than 1,000,000 bytes"):
        fetch(party.url)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"\xff\xfe", b"[]", b"null", b"{}", b'{"base": "USD", "date": "2026-11-30", "rates": {}}',
        b'{"base": "EUR", "date": "today", "rates": {}}', b'{"base": "EUR", "date": "2026-11-30", "rates": []}',
        b'{"base": "EUR", "date": "2026-11-30", "rates": {"USD": "x"}}',
        b'{"base": "EUR", "date": "2026-11-30", "rates": {"USD": NaN}}',
        b'{"base": "EUR", "date": "2026-11-30", "rates": {"USD": -1}}',
        b'{"base": "EUR", "date": "2026-11-30", "rates": {"USD": 1e999999}}',
        b'{"base": "EUR", "date": "2026-11-30", "rates": {"DOLLAR": 1}}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_nonsense_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="is not a list of rates"):
        parsed("party.example", body)


def test_after_six_attempts_the_reason_is_kept(party: Party) -> None:
    party.answer(200, b"<html>")
    job = RatesUpdate.start()
    for _attempt in range(6):
        job = attempted(job)
    assert (job.state, job.attempt, "is not a list of rates" in job.reason) == ("failed", 6, True)


# --- the breaker ------------------------------------------------------------------------------------------------------


def cooled_down() -> None:
    Breaker.objects.update(ask_at=Now() - timedelta(seconds=1))


def test_a_dead_party_is_left_alone_and_no_attempt_is_spent(party: Party) -> None:
    party.answer(500)
    job = RatesUpdate.start()
    for _attempt in range(3):
        attempted(job)
    assert party.asked == 3
    job = attempted(job)
    assert (party.asked, job.state, job.failures, 30 < wait_of(job) <= 60) == (3, "waiting", 3, True)
    assert "asked again later" in job.reason
    cooled_down()
    party.answer(200, json.dumps(GOOD).encode())
    assert (attempted(job).state, party.asked) == ("done", 4)


def test_after_the_cool_down_one_caller_asks() -> None:
    for _failure in range(3):
        with pytest.raises(Away), guarded("x", errors=Away):
            raise Away("away")
    cooled_down()
    with guarded("x", errors=Away), pytest.raises(BreakerOpen), guarded("x", errors=Away):
        pytest.fail("a second caller asked")
    with guarded("x", errors=Away):
        """Closed again by the first caller's success."""


def test_a_failed_try_starts_the_next_cool_down() -> None:
    for _failure in range(4):
        Breaker.objects.filter(party="x").update(ask_at=Now() - timedelta(seconds=1))
        with pytest.raises(Away), guarded("x", errors=Away):
            raise Away("away")
    with pytest.raises(BreakerOpen) as refused, guarded("x", errors=Away):
        pytest.fail("asked")
    assert 0 < refused.value.retry_after <= 60


def test_other_errors_are_no_failures_of_the_party() -> None:
    for _failure in range(5):
        with pytest.raises(ZeroDivisionError), guarded("x", errors=Away):
            raise ZeroDivisionError
    assert not Breaker.objects.exists()


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_shows_the_rates_and_staff_can_update_them(party: Party, client: Client) -> None:
    client.force_login(User.objects.create_user("boss", is_staff=True))
    assert "have not been fetched yet" in client.get("/shop/rates/").content.decode()
    assert client.post("/shop/rates/").status_code == 302
    assert client.get("/shop/rates/")["Refresh"] == "2"
    attempted(RatesUpdate.objects.get())
    page = client.get("/shop/rates/").content.decode()
    assert all(words in page for words in ("Done", "as of 30 November 2026", "USD", "1.0823"))
    client.post("/shop/rates/")
    assert RatesUpdate.objects.get().state == "waiting"


def test_the_page_says_if_no_third_party_is_set(client: Client, settings: Any) -> None:
    settings.RATES_URL = ""
    client.force_login(User.objects.create_user("boss", is_staff=True))
    assert "set the environment variable RATES_URL" in client.get("/shop/rates/").content.decode()
    client.post("/shop/rates/")
    assert not RatesUpdate.objects.exists()

"""Tests of jobs: the promise of `enqueue`, one attempt and its outcome, chains and groups, rate limits and checks."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import pytest
from django.db import IntegrityError, connection, models
from django.test.utils import isolate_apps
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from durable import checks, rates, sweep
from durable.attempts import WINDOW
from durable.clock import Now
from durable.databases import atomic, connection_of
from durable.jobs import Job, JobQuerySet, kinds
from durable.lease import LeaseLost
from durable.rates import Permit, PermitQuerySet, Rate
from durable.retries import retry_after
from tests.conftest import Committing
from tests.support import hints
from tests.support.errands import lapse, make_due
from tests.support.exports import sweep_now
from tests.support.host_apps import installed
from tests.support.jobs import acting, fresh, marks, raising, work
from tests.work.models import Call, Mark, Parcel, Stamp

pytestmark = pytest.mark.django_db
STAMP, CALL, PARCEL = "durable.jobs.high.work.stamp", "durable.jobs.bulk.work.call", "durable.jobs.high.work.parcel"


@pytest.fixture
def committing(django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> Committing:
    """As the usual one, but for the database of the jobs, which are the site's own."""
    return lambda: django_capture_on_commit_callbacks(using=connection_of(Stamp).alias, execute=True)


def wait_of(job: Job) -> float:
    """Return the seconds until the job is due, by the database's clock."""
    row = type(job).objects.annotate(now=Now()).get(pk=job.pk)
    return float((row.next_attempt_at - row.now).total_seconds())


# --- enqueue --------------------------------------------------------------------------------------------------------


def test_a_hint_is_sent_after_the_commit(committing: Committing) -> None:
    with committing(), atomic(Stamp):
        job = Stamp.enqueue(number=1)
        assert hints.sent == []
    assert hints.sent == [(STAMP, (job.pk,))]
    assert (job.state, job.attempt_limit) == ("waiting", 3)


def test_a_job_whose_transaction_is_rolled_back_is_not_promised(committing: Committing) -> None:
    with committing(), pytest.raises(ZeroDivisionError), atomic(Stamp):
        Stamp.enqueue(number=1)
        raise ZeroDivisionError
    assert (hints.sent, Stamp.objects.count()) == ([], 0)


def test_a_delayed_job_waits(committing: Committing) -> None:
    with committing():
        jobs = [Stamp.enqueue(number=1, after=60), Stamp.enqueue(number=2, after=timedelta(minutes=1))]
    assert all(59 < wait_of(job) <= 60 for job in jobs)
    assert all(isinstance(job.next_attempt_at, datetime) for job in jobs)
    assert hints.sent == []
    work(jobs[0])
    assert marks() == []
    make_due(*jobs)
    sweep.sweep()
    assert hints.sent == [(STAMP, tuple(job.pk for job in jobs))]


@pytest.mark.parametrize("state", ["waiting", "done", "failed", "cancelled"])
def test_the_same_unique_field_gives_the_same_row_as_it_is(state: str, committing: Committing) -> None:
    first = Stamp.enqueue(number=1, act="fail" if state == "failed" else "")
    match state:
        case "done":
            first.run_here()
        case "failed":
            with raising(KeyError()):
                work(first)
        case "cancelled":
            first.cancel()
    hints.sent.clear()
    with committing(), atomic(Stamp):
        again = Stamp.enqueue(number=1)
        assert Stamp.objects.count() == 1, "the transaction can still be used"
    assert (again.pk, again.state) == (first.pk, state)
    assert hints.sent == []


def test_a_constraint_with_a_condition_counts_only_rows_that_meet_it(monkeypatch: pytest.MonkeyPatch) -> None:
    open_once = models.UniqueConstraint(fields=["number"], condition=models.Q(state="waiting"), name="open_once")
    monkeypatch.setattr(Stamp._meta, "constraints", [*Stamp._meta.constraints, open_once])
    monkeypatch.setitem(vars(Stamp._meta.get_field("number")), "unique", False)
    done, waiting = Stamp.enqueue(number=1), Stamp(number=1)
    assert list(waiting._twins()) == [done]
    done.run_here()
    assert list(waiting._twins()) == []


def test_other_violations_are_raised() -> None:
    with pytest.raises(IntegrityError):
        Stamp.enqueue(number=None)
    with pytest.raises(TypeError):
        Stamp.enqueue(numbers=1)


def test_the_most_urgent_jobs_are_hinted_and_the_others_wait_in_the_database(committing: Committing) -> None:
    with committing():
        late = [Stamp.enqueue(number=number) for number in range(WINDOW + 5)]
    assert hints.pks_of(STAMP) == [job.pk for job in late[:WINDOW]]
    hints.sent.clear()
    with committing():
        urgent = Stamp.enqueue(number=100, priority=1)
    sweep.sweep()
    assert hints.sent == [], "the window is full"
    work(late[0])
    work(late[1])
    assert hints.pks_of(STAMP) == [urgent.pk], "a claim makes room for the next one"


def test_lost_hints_make_room(committing: Committing) -> None:
    with committing():
        jobs = [Stamp.enqueue(number=number) for number in range(WINDOW + 1)]
    lapse(*jobs)
    hints.sent.clear()
    assert sweep_now() == {"stamp: published": WINDOW}


def test_saving_a_row_does_not_overwrite_its_lease() -> None:
    job = Stamp.enqueue(number=1)
    with pytest.raises(TypeError, match="use lease"):
        job.save()
    job.seconds = 0.5
    job.save(update_fields=["seconds"])
    assert fresh(job).seconds == 0.5


# --- one attempt ----------------------------------------------------------------------------------------------------


def test_a_job_that_is_done_has_its_result_and_its_effect() -> None:
    job = work(Stamp.enqueue(number=7))
    assert (job.state, job.result, job.reason, job.attempt) == ("done", {"number": 7}, "", 1)
    assert job.finished_at is not None
    assert marks() == ["stamp 7"]


def test_a_doubled_message_runs_nothing() -> None:
    job = Stamp.enqueue(number=1)
    for _ in range(3):
        work(job)
    assert (marks(), fresh(job).attempt) == (["stamp 1"], 1)


def test_a_failed_attempt_is_tried_again_with_a_longer_wait_each_time(caplog: pytest.LogCaptureFixture) -> None:
    job = Stamp.enqueue(number=1, act="fail")
    waits = []
    with raising(ConnectionError("the printer is away\x00")), caplog.at_level(logging.WARNING):
        for _ in range(Stamp.max_attempts):
            make_due(job)
            work(job)
            if (row := fresh(job)).state == "waiting":
                waits.append(wait_of(job))
    assert [59 < waits[0] <= 73, 119 < waits[1] <= 145] == [True, True]
    assert (row.state, row.attempt, row.reason) == ("failed", 3, "ConnectionError: the printer is away")
    assert "in fail\n    raise error" in row.traceback
    assert f"stamp {job.pk}: failed: ConnectionError: the printer is away" in caplog.text
    assert marks() == []
    make_due(job)
    work(job)
    assert fresh(job).attempt == 3, "a parked job is not run"


def test_the_wait_and_the_attempts_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamp, "first_wait", 5)
    monkeypatch.setattr(Stamp, "max_attempts", 2)
    job = Stamp.enqueue(number=1, act="fail")
    with raising(ConnectionError()):
        work(job)
        assert 4 < wait_of(job) <= 6  # some of it has passed
        make_due(job)
        assert work(job).state == "failed"


def test_a_permanent_error_is_not_tried_again() -> None:
    job = Stamp.enqueue(number=1, act="fail")
    with raising(KeyError("no such stamp")):
        row = work(job)
    assert (row.state, row.attempt, row.reason) == ("failed", 1, "KeyError: 'no such stamp'")


def test_a_job_that_kills_its_workers_is_parked_by_the_sweep() -> None:
    job = Stamp.enqueue(number=1, act="fail")
    for _ in range(Stamp.max_attempts):
        with raising(SystemExit()), pytest.raises(SystemExit):
            work(job)
        lapse(job)
    assert sweep_now() == {"stamp: parked": 1}
    row = fresh(job)
    assert (row.state, row.attempt) == ("failed", 3)
    assert row.reason.startswith("Attempt 3 ended without reporting a result")


def test_a_live_worker_keeps_a_job_that_the_sweep_would_park() -> None:
    job = Stamp.enqueue(number=1)
    Stamp.objects.update(attempt_limit=1)
    lease = Stamp.objects.claim(job.pk)
    assert lease is not None
    Stamp.park(lease.work)
    assert fresh(job).state == "waiting"
    lease.check()


def test_a_worker_that_lost_its_lease_records_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Another worker takes the job during the work of the first one, which writes its effect after that."""

    def slow(stamp: Stamp) -> dict[str, Any]:
        lapse(stamp)
        assert Stamp.objects.claim(stamp.pk) is not None
        return {}

    job = Stamp.enqueue(number=1, act="slow")
    with acting("slow", slow), caplog.at_level(logging.INFO):
        row = work(job)
    assert (row.state, row.attempt, marks()) == ("waiting", 2, [])
    assert "attempt 1 lost its lease" in caplog.text


def test_a_worker_killed_before_the_end_is_written_leaves_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Stamp.enqueue(number=1)

    def die(*_: Any) -> None:
        Mark.objects.create(text="half an effect")
        raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Stamp, "record", die)
        work(job)
    assert (fresh(job).state, marks()) == ("waiting", [])
    lapse(job)
    assert (work(job).state, marks()) == ("done", ["stamp 1"])


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("a word", "TypeError: run() returned 'a word': return a dict or None."),
        ({"key": object()}, "TypeError: Object of type object is not JSON serializable"),
    ],
)
def test_a_result_that_cannot_be_stored_is_a_failed_attempt(result: Any, reason: str) -> None:
    job = Stamp.enqueue(number=1, act="odd")
    with acting("odd", lambda stamp: result):
        row = work(job)
    assert (row.state, row.reason, marks()) == ("waiting", reason, [])


def test_an_effect_that_cannot_be_written_is_a_failed_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamp, "record", lambda self, result: Mark.objects.create(text=None))  # type: ignore[misc]
    row = work(Stamp.enqueue(number=1))
    assert (row.state, row.lease_until, row.result) == ("waiting", None, {})
    assert row.reason.startswith("django.db.utils.IntegrityError: ")


def test_an_outcome_that_cannot_be_written_is_left_to_the_sweep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from django.db import OperationalError

    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("gone")

    job = Stamp.enqueue(number=1)
    with monkeypatch.context() as patched:
        patched.setattr("durable.lease.Lease._end", away)
        assert work(job).state == "waiting"
    assert "the sweep will try again" in caplog.text
    lapse(job)
    assert work(job).state == "done"


# --- retry after ----------------------------------------------------------------------------------------------------


def headers(value: str) -> Message:
    made = Message()
    made["Retry-After"] = value
    return made


def carrying(**attributes: Any) -> Exception:
    error = Exception()
    vars(error).update(attributes)
    return error


IN_TWO_DAYS = format_datetime(datetime.now(UTC) + timedelta(days=2), usegmt=True)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (carrying(retry_after=7), 7),
        (carrying(retry_after="7"), 7),
        (carrying(retry_after=timedelta(minutes=2)), 120),
        (carrying(response=SimpleNamespace(headers={"Retry-After": "30"})), 30),
        (HTTPError("http://x", 503, "busy", headers("90"), None), 90),
        (HTTPError("http://x", 429, "busy", headers(IN_TWO_DAYS), None), 86_400),
        (carrying(retry_after=10**9), 86_400),
        (carrying(retry_after="soon"), None),
        (carrying(retry_after=-1), None),
        (carrying(retry_after=float("nan")), None),
        (carrying(response=None), None),
        (Exception(), None),
    ],
)
def test_the_wait_that_an_error_carries(error: Exception, seconds: float | None) -> None:
    assert retry_after(error) == seconds


def test_a_date_is_a_wait_until_then() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert retry_after(HTTPError("http://x", 429, "busy", headers(then), None)) == pytest.approx(3600, abs=60)


def test_a_job_waits_as_long_as_the_error_says() -> None:
    job = Stamp.enqueue(number=1, act="fail")
    with raising(carrying(response=SimpleNamespace(headers={"Retry-After": "300"}))):
        assert work(job).attempt == 1
    assert 299 < wait_of(job) <= 300


# --- reopen, cancel, run here ---------------------------------------------------------------------------------------


def test_an_ended_job_can_be_reopened(committing: Committing) -> None:
    job = Stamp.enqueue(number=1, act="fail")
    with raising(KeyError()):
        work(job)
    assert not Stamp.enqueue(number=2).reopen(), "it is waiting"
    with committing():
        assert job.reopen()
    row = fresh(job)
    assert (row.state, row.reason, row.traceback, row.finished_at, row.failures) == ("waiting", "", "", None, 0)
    assert job.pk in hints.pks_of(STAMP)
    with acting("fail", lambda stamp: {}):
        assert work(job).state == "done"


def test_a_cancelled_job_is_not_run_and_the_end_of_a_running_one_is_not_recorded() -> None:
    job = Stamp.enqueue(number=1)
    assert job.cancel()
    assert (work(job).state, marks(), job.cancel()) == ("cancelled", [], False)
    running = Stamp.enqueue(number=2, act="cancel")
    with acting("cancel", lambda stamp: {"cancelled": stamp.cancel()}):
        assert (work(running).state, marks()) == ("cancelled", [])


def test_a_job_runs_here_with_its_errors(committing: Committing) -> None:
    with committing():
        job = Stamp.enqueue(number=1, after=3600, act="fail")
    with raising(ConnectionError("away")), pytest.raises(ConnectionError, match="away"):
        job.run_here()
    assert fresh(job).reason == "ConnectionError: away"
    with acting("fail", lambda stamp: {"at": "last"}):
        assert job.run_here() == {"at": "last"}
    assert job.state == "done"
    assert hints.sent == []


def test_a_job_that_a_worker_runs_does_not_run_here() -> None:
    job = Stamp.enqueue(number=1)
    lease = Stamp.objects.claim(job.pk)
    with pytest.raises(LeaseLost, match=f"stamp {job.pk} is being run by another process"):
        job.run_here()
    assert lease is not None
    lease.check()


# --- chains and groups ----------------------------------------------------------------------------------------------


def states(*jobs: Job) -> list[str]:
    return [fresh(job).state for job in jobs]


def test_a_chain_runs_one_after_the_other(committing: Committing) -> None:
    second, third = Parcel(number=2), Parcel(number=3)
    with committing():
        first = Stamp.enqueue(number=1, then=[second, third])
    assert states(first, second, third) == ["waiting", "blocked", "blocked"]
    assert [task for task, _pks in hints.sent] == [STAMP]
    work(second)
    assert marks() == []
    with committing():
        work(first)
    assert states(first, second, third) == ["done", "waiting", "blocked"]
    assert hints.sent[-1] == (PARCEL, (second.pk,))
    work(second)
    work(third)
    assert marks() == ["stamp 1", "parcel 2", "parcel 3"]


def test_the_next_job_opens_if_and_only_if_the_end_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    second = Parcel(number=2)
    first = Stamp.enqueue(number=1, then=second)
    from durable import jobs

    def die(address: str) -> None:
        opening(address)
        raise SystemExit

    opening = jobs._open_if_ready
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(jobs, "_open_if_ready", die)
        work(first)
    assert (states(first, second), marks()) == (["waiting", "blocked"], [])


def test_a_chain_waits_for_a_job_that_is_parked_until_it_succeeds() -> None:
    second = Parcel(number=2)
    first = Stamp.enqueue(number=1, act="fail", then=second)
    with raising(KeyError()):
        work(first)
    assert states(first, second) == ["failed", "blocked"]
    first.reopen()
    with acting("fail", lambda stamp: {}):
        work(first)
    assert states(first, second) == ["done", "waiting"]


def test_a_job_that_exists_gets_the_jobs_that_follow() -> None:
    waiting, done = Stamp.enqueue(number=1), Stamp.enqueue(number=2)
    work(done)
    after_waiting, after_done = Parcel(number=1), Parcel(number=2)
    Stamp.enqueue(number=1, then=after_waiting)
    Stamp.enqueue(number=2, then=after_done)
    assert states(after_waiting, after_done) == ["blocked", "waiting"]
    Stamp.enqueue(number=1, then=Parcel(number=3))
    assert Parcel.objects.count() == 2, "a second click: a parcel follows already"
    with pytest.raises(ValueError, match=f"stamp {waiting.pk} exists and is followed by work.parcel:"):
        Stamp.enqueue(number=1, then=Stamp(number=4))
    assert Stamp.objects.count() == 2


def test_a_running_job_gets_the_jobs_that_follow() -> None:
    def ask_again(stamp: Stamp) -> dict[str, Any]:
        Stamp.enqueue(number=stamp.number, then=Parcel(number=1))
        return {}

    with acting("ask", ask_again):
        work(Stamp.enqueue(number=1, act="ask"))
    assert states(*Parcel.objects.all()) == ["waiting"]


def test_a_group_is_followed_once_all_of_it_is_done(committing: Committing) -> None:
    members = [*(Stamp(number=number) for number in range(3)), Call()]
    with committing():
        follower = Job.enqueue_group(members, then=Parcel(number=1))
    assert dict(hints.sent).keys() == {STAMP, CALL}
    for member in members:
        assert fresh(follower).state == "blocked"
        work(member)
    assert fresh(follower).state == "waiting"
    work(follower)
    assert marks().count("parcel 1") == 1


def test_a_group_without_members_is_done() -> None:
    assert states(Job.enqueue_group([], then=Parcel(number=1))) == ["waiting"]


def test_a_group_is_known_by_what_follows() -> None:
    first = Job.enqueue_group([Stamp(number=1)], then=Parcel(number=1))
    again = Job.enqueue_group([Stamp(number=1), Stamp(number=2)], then=Parcel(number=1))
    assert (again.pk, Stamp.objects.count()) == (first.pk, 1)
    with pytest.raises(IntegrityError), atomic(Parcel):
        Job.enqueue_group([Stamp(number=1)], then=Parcel(number=2))
    assert Parcel.objects.count() == 1


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
@pytest.mark.parametrize("way", ["again", "deleted", "started"])
def test_a_member_that_is_not_done_blocks_what_follows(ended: str, way: str) -> None:
    """Until it succeeds, or it is deleted, or the one that follows is started by hand."""
    members = [Stamp(number=1, act="fail"), Stamp(number=2)]
    follower = Job.enqueue_group(members, then=Parcel(number=1))
    with raising(KeyError()):
        work(members[0]) if ended == "failed" else members[0].cancel()
    work(members[1])
    assert fresh(follower).state == "blocked"
    match way:
        case "again":
            members[0].reopen()
            with acting("fail", lambda stamp: {}):
                work(members[0])
        case "deleted":
            members[0].delete()
        case "started":
            assert follower.reopen()
    assert fresh(follower).state == "waiting"


def test_what_follows_opens_once(committing: Committing) -> None:
    """Also if a member runs again, or is deleted, later."""
    member = Stamp(number=1)
    follower = Job.enqueue_group([member], then=Parcel(number=1))
    work(member)
    work(follower)
    member.reopen()
    work(member)
    member.delete()
    assert (fresh(follower).state, fresh(follower).attempt) == ("done", 1)


def test_a_class_that_no_longer_exists_cannot_follow(caplog: pytest.LogCaptureFixture) -> None:
    job = Stamp.enqueue(number=1)
    Stamp.objects.update(followed_by="work.telegram:1")
    assert work(job).state == "done"
    assert "there is no class of jobs work.telegram any more" in caplog.text


# --- rate limits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"), [("10/m", (10, 60)), ("1/s", (1, 1)), ("5000/h", (5000, 3600)), ("7/d", (7, 86_400))]
)
def test_rates(text: str, rate: tuple[int, int]) -> None:
    assert Rate.of(text) == rate


@pytest.mark.parametrize("text", ["", "10", "10/min", "0/m", "-1/m", "1.5/m", "10001/d", "m/10"])
def test_other_rates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like '10/m'"):
        Rate.of(text)


def age(seconds: float) -> None:
    """Let all permits have been taken this long ago."""
    Permit.objects.filter(used_at__gt=rates.NEVER).update(used_at=Job.moment_in(-seconds))


def test_a_job_above_the_limit_is_put_back_without_spending_an_attempt(committing: Committing) -> None:
    with committing():
        calls = [Call.enqueue() for _ in range(5)]
    assert hints.pks_of(CALL) == [call.pk for call in calls[:3]], "no more hints than permits"
    for call in calls:  # two of the messages come all the same
        work(call)
    assert [fresh(call).state for call in calls] == ["done"] * 3 + ["waiting"] * 2
    assert len(marks()) == 3
    back = fresh(calls[3])
    assert (back.failures, back.reason, back.published_at, back.lease_until) == (0, "", None, None)
    assert 58 < wait_of(back) <= 60
    assert sweep_now() == {}
    age(60)
    make_due(*calls[3:])
    assert sweep_now() == {"call: published": 2}
    for call in calls[3:]:
        assert work(call).state == "done"


def test_a_short_wait_for_a_permit_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Call, "rate_limit", "1/s")
    first, second = Call.enqueue(), Call.enqueue()
    work(first)
    assert work(second).state == "done"
    moments = list(Mark.objects.order_by("pk").values_list("made_at", flat=True))
    assert (moments[1] - moments[0]).total_seconds() > 0.9


def test_a_permit_that_another_worker_takes_in_between_is_not_taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    find = PermitQuerySet.first

    def find_too_late(rows: PermitQuerySet) -> Permit | None:
        found = find(rows)
        Permit.objects.filter(limit="x").update(used_at=Now())
        return found

    monkeypatch.setattr(PermitQuerySet, "first", find_too_late)
    assert rates.take("x", Rate(1, 60)) > 59


def test_a_limit_can_be_raised_and_lowered() -> None:
    taken = [rates.take("x", Rate(number, 60)) for number in (1, 1, 2, 2, 1)]
    assert [wait > 0 for wait in taken] == [False, True, False, True, True]
    assert rates.free_within(0, "x", Rate(3, 60)) == 1
    assert rates.free_within(60, "x", Rate(3, 60)) == 3
    assert rates.take("y", Rate(1, 60)) == 0.0


# --- the classes ----------------------------------------------------------------------------------------------------


def test_all_classes_are_known_and_swept() -> None:
    assert {Stamp, Call, Parcel} <= set(kinds())
    assert {Stamp, Call, Parcel} <= set(sweep._swept)
    assert checks.check_jobs() == []


@pytest.mark.parametrize(
    "rows",
    [
        Stamp.objects.due().unpublished().order_by(*Stamp.urgency)[:5],
        Stamp.objects.hinted()[:5],
        Stamp.objects.held(),
        Stamp.objects.exhausted()[:5],
        Stamp.objects.filter(followed_by="work.parcel:1"),
    ],
)
def test_the_backlog_is_read_through_indexes(rows: JobQuerySet[Stamp]) -> None:
    """So the jobs that have ended, which are most of them, cost nothing."""
    sql, parameters = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # it would read an empty table whole
            cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {'' if connection.vendor == 'postgresql' else 'QUERY PLAN '}{sql}", parameters)
        plan = str(cursor.fetchall())
    assert "stamp_" in plan
    assert "Seq Scan" not in plan


class Fine(Job):
    """A job that nothing is wrong with."""

    class Meta(Job.Meta):
        abstract = True

    def run(self, lease: Any) -> None: ...


@isolate_apps("tests.work")
def faults(**attributes: Any) -> list[str]:
    """Return the ids of the faults of a class with these attributes."""
    base = attributes.pop("base", Fine)
    meta = type("Meta", attributes.pop("meta", (Job.Meta,)), {"app_label": "work"})
    kind = type("Odd", (base,), {"__module__": __name__, "Meta": meta, **attributes})
    found = [*checks._faults_of_class(kind), *checks._faults_of_options(kind)]
    assert all("work.Odd" in fault.msg and (fault.hint or fault.id == "durable.E007") for fault in found)
    return [str(fault.id) for fault in found]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, []),
        ({"base": Job}, ["durable.E004"]),
        ({"meta": ()}, ["durable.E005"]),
        ({"objects": models.Manager()}, ["durable.E006"]),
        ({"objects": JobQuerySet.as_manager()}, []),
        ({"rate_limit": "often"}, ["durable.E008"]),
        ({"rate_limit": "1/s"}, []),
        ({"permanent": [ValueError]}, ["durable.E009"]),
        ({"permanent": ValueError}, []),
        ({"max_attempts": 0}, ["durable.E010"]),
        ({"soft_time_limit": 300}, ["durable.E010"]),
        ({"queue": "bulk"}, []),
        ({"queue": "bluk"}, ["durable.E011"]),
    ],
)
def test_a_class_that_would_fail_later_is_refused(
    attributes: dict[str, Any], expected: list[str], settings: Settings
) -> None:
    settings.CARRYALL = {}
    assert faults(**attributes) == expected


def test_a_queue_needs_a_route_of_the_sites_own_app(settings: Settings) -> None:
    settings.CARRYALL = {}
    with installed("redis://127.0.0.1:1/0"):
        assert faults(queue="pictures") == ["durable.E011"]
    with installed("redis://127.0.0.1:1/0", task_routes={"durable.jobs.pictures.*": {"queue": "slow"}}):
        assert faults(queue="pictures") == []
    settings.CARRYALL = {"SEND_HINT": "tests.support.hints.send"}
    assert faults(queue="pictures") == []


def test_a_job_in_a_database_without_leased_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "mysql")
    assert faults() == ["durable.E007"]

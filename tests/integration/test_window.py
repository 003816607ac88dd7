"""Tests of the fair windows and the fan-in: no window is overfilled, and no owner blocks the others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from hypothesis import given
from hypothesis.strategies import integers, lists
from pytest_django import Settings

from durable.models import Work
from exports.conf import export_settings
from exports.datasets import Source
from exports.errors import WrongState
from exports.intake.requests import cancel_export, retry_export
from exports.models import Export, Part
from exports.pipeline import plan, render, window
from exports.states import PartState, State
from notifications.models import Notification
from tests.support import hints
from tests.support.exports import Errands, ask, committed, export_in, part_in, registered
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _window_of_four(settings: Settings) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": 4}
    with registered(Errands):
        yield


def waiting(owner: User, count: int) -> list[Part]:
    """Create a rendering export of `owner` with `count` waiting parts."""
    export = export_in("rendering", owner)
    return [part_in("waiting", export, index) for index in range(count)]


def fill() -> list[int]:
    """Fill the window, and return the keys of the published parts."""
    hints.sent.clear()
    with committed():
        window.fill_window()
    return hints.pks_of("exports.tasks.render_part")


def keys(*parts: Part) -> list[int]:
    return [part.pk for part in parts]


# --- the window -----------------------------------------------------------------------------------------------------


def test_the_window_is_filled_and_not_overfilled(ada: User) -> None:
    parts = waiting(ada, 9)
    assert fill() == keys(*parts[:4])
    assert fill() == []


def test_a_part_that_ends_makes_room_for_one(ada: User) -> None:
    parts = waiting(ada, 9)
    fill()
    Part.objects.filter(pk=parts[0].pk).update(state="cancelled", next_attempt_at=None)
    assert fill() == keys(parts[4])


def test_held_parts_count_even_if_their_hint_is_old(ada: User) -> None:
    parts = waiting(ada, 9)
    fill()
    for part in parts[:4]:
        assert Part.objects.claim(part.pk) is not None
    Part.objects.filter(published_at__isnull=False).update(published_at=Work.moment_in(-600))
    assert fill() == []


def test_parts_with_lost_hints_do_not_count(ada: User) -> None:
    parts = waiting(ada, 9)
    fill()
    Part.objects.filter(published_at__isnull=False).update(published_at=Work.moment_in(-600))
    assert fill() == keys(*parts[:4])


def test_a_part_that_waits_for_its_retry_is_not_published(ada: User) -> None:
    parts = waiting(ada, 2)
    lease = Part.objects.claim(parts[0].pk)
    assert lease is not None
    lease.retry(60)
    assert fill() == keys(parts[1])


def test_a_cancelled_export_frees_its_places(ada: User, bob: User) -> None:
    hers, his = waiting(ada, 9), waiting(bob, 2)
    assert len(fill()) == 4
    cancel_export(hers[0].export)
    assert set(fill()) <= set(keys(*his))
    assert Part.objects.in_flight().count() == 2


@pytest.mark.django_db(transaction=True)
def test_concurrent_processes_do_not_overfill_the_window(ada: User, bob: User) -> None:
    waiting(ada, 20)
    waiting(bob, 20)
    at_once(*[window.fill_window] * 4)
    sent = hints.pks_of("exports.tasks.render_part")
    assert len(sent) == len(set(sent)) == Part.objects.in_flight().count() == 4


# --- fairness -------------------------------------------------------------------------------------------------------


def test_a_small_export_does_not_wait_behind_a_huge_one(ada: User, bob: User) -> None:
    hers = waiting(ada, 100)
    his = waiting(bob, 1)
    assert fill() == keys(hers[0], his[0], hers[1], hers[2])


def test_parts_in_flight_count_as_turns(ada: User, bob: User) -> None:
    hers = waiting(ada, 100)
    assert fill() == keys(*hers[:4])
    his = waiting(bob, 3)
    Part.objects.filter(pk=hers[0].pk).update(state="cancelled", next_attempt_at=None)
    assert fill() == keys(his[0])
    Part.objects.filter(pk=hers[1].pk).update(state="cancelled", next_attempt_at=None)
    assert fill() == keys(his[1])


def test_exports_of_one_owner_are_taken_in_order(ada: User) -> None:
    first, second = waiting(ada, 3), waiting(ada, 3)
    assert fill() == keys(*first, second[0])


def test_between_equal_owners_the_older_export_is_first(ada: User, bob: User) -> None:
    """The age is that of the request, not that of the parts."""
    first, second = export_in("rendering", bob), export_in("rendering", ada)
    hers, his = part_in("waiting", second), part_in("waiting", first)
    assert fill() == keys(his, hers)


def test_the_parts_of_a_queued_export_wait(ada: User) -> None:
    """A retried export is planned first, and planning fills the window."""
    part_in("waiting", export_in("queued", ada))
    assert fill() == []


# --- small exports --------------------------------------------------------------------------------------------------


def waiting_small(owner: User, count: int) -> list[Part]:
    export = export_in("rendering", owner, rows=export_settings().small_rows)
    return [part_in("waiting", export, index) for index in range(count)]


def fill_small() -> list[int]:
    fill()
    return hints.pks_of("exports.tasks.render_small_part")


def test_a_small_export_does_not_wait_for_big_parts(ada: User, bob: User) -> None:
    waiting(ada, 9)
    fill()
    his = waiting_small(bob, 1)
    assert fill_small() == keys(*his)


def test_a_small_export_does_not_wait_for_big_parts_of_its_owner(ada: User) -> None:
    waiting(ada, 9)
    small = waiting_small(ada, 1)
    assert fill_small() == keys(*small)


def test_small_exports_share_their_own_window_fairly(ada: User, bob: User) -> None:
    hers = waiting_small(ada, 9)
    his = waiting_small(bob, 1)
    assert fill_small() == keys(hers[0], his[0], hers[1], hers[2])
    big = waiting(ada, 9)
    assert fill() == keys(*big[:4]), "small parts in flight count in the window of the big ones"
    assert fill_small() == []


# --- any backlog ----------------------------------------------------------------------------------------------------


@given(counts=lists(integers(0, 6), min_size=1, max_size=5), places=integers(1, 8))
def test_the_choice_is_fair_for_any_backlog(db: None, counts: list[int], places: int) -> None:
    """No owner gets more than one place more than an owner with waiting parts."""
    Export.objects.all().delete()
    owners = [User.objects.get_or_create(username=f"owner {n}")[0] for n in range(len(counts))]
    for owner, count in zip(owners, counts, strict=True):
        waiting(owner, count)
    chosen = [part.owner_id for part in window.fairest(places)]
    assert len(chosen) == min(places, sum(counts))
    for owner, count in zip(owners, counts, strict=True):
        if chosen.count(owner.pk) < count:  # still waits
            assert all(chosen.count(other.pk) <= chosen.count(owner.pk) + 1 for other in owners)


# --- plans ----------------------------------------------------------------------------------------------------------


def plans() -> list[int]:
    """Return the exports whose plans were published, in order."""
    return hints.pks_of("exports.tasks.plan_export")


def plan_next() -> list[int]:
    """Fill the window of plans, and return the published exports."""
    hints.sent.clear()
    with committed():
        window.fill_plans()
    return plans()


def test_the_broker_holds_one_window_of_plans(ada: User) -> None:
    exports = [ask(ada, kind) for kind in ("csv", "jsonl", "json", "pdf", "xlsx", "parquet")]
    assert plans() == [export.pk for export in exports[:4]], "the others should wait in the database"
    assert plan_next() == []
    plan.run(exports[0].pk)
    assert plan_next() == [], "planning should have published the next one"
    assert set(window.planning()) == {export.pk for export in exports[1:5]}


def test_a_failed_plan_makes_room_for_the_next(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": 1, "MAX_ATTEMPTS": 1}
    first, second = ask(ada), ask(ada, "jsonl")
    Export.objects.filter(pk=first.pk).update(dataset="gone")
    with committed():
        plan.run(first.pk)
    assert plans() == [first.pk, second.pk]


def test_a_new_owner_is_planned_before_the_second_export_of_another(ada: User, bob: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": 2}
    hers = [ask(ada, kind) for kind in ("csv", "jsonl", "json", "pdf")]
    his = ask(bob)
    assert plans() == [hers[0].pk, hers[1].pk]
    with committed():
        plan.run(hers[0].pk)
    assert plans()[2:] == [his.pk]


def test_a_user_who_retries_in_a_loop_does_not_delay_others(ada: User, bob: User, settings: Settings) -> None:
    """Each retry of four exports is queued again at once, and the broker delivers the oldest plan."""
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": 2, "MAX_ATTEMPTS": 1, "MAX_PER_HOUR": 1000}
    looping = [ask(ada, kind) for kind in ("csv", "jsonl", "json", "pdf")]
    Export.objects.update(dataset="gone")

    done: list[int] = []

    def turn() -> None:
        """Run the oldest message, and retry failed exports."""
        done.append(plans()[len(done)])
        with committed():
            plan.run(done[-1])
        for export in looping:
            export.refresh_from_db()
            if export.state == State.FAILED:
                with committed():
                    retry_export(export)

    for _ in range(20):
        turn()
    his = ask(bob)
    for _ in range(6):
        turn()
    assert his.pk in done[20:23], "it waits for more than one window of plans"
    assert {export.pk for export in looping} == set(done) - {his.pk}, "some of the retried exports were not planned"


def test_a_retry_is_queued_from_the_time_of_the_retry(ada: User, bob: User, settings: Settings) -> None:
    """Ordered by its age, it would always come before new exports."""
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": 1}
    old = export_in("failed", ada)
    third = ask(User.objects.create_user("third"))
    his = ask(bob)
    retry_export(old)
    plan.run(third.pk)
    assert [export.pk for export in window.fairest_plans(3)] == [old.pk]
    assert set(window.planning()) == {his.pk}


def test_cancelling_and_retrying_in_a_loop_sends_no_further_messages(ada: User, bob: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": 2, "MAX_PER_HOUR": 1000}
    first, second = ask(ada), ask(ada, "jsonl")
    for _ in range(20):
        for export in (first, second):
            cancel_export(export)
            with committed():
                retry_export(export)
    his = ask(bob)
    assert plans() == [first.pk, second.pk], "further messages were sent"
    plan.run(first.pk)
    first.refresh_from_db()
    assert first.state == State.RENDERING
    assert set(window.planning()) == {second.pk, his.pk}


def test_a_cancelled_export_keeps_its_place_until_its_message_arrives(ada: User, settings: Settings) -> None:
    """Otherwise a user who requests and cancels in a loop would fill the broker."""
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": 1, "MAX_PER_HOUR": 1000}
    exports = []
    for kind in ("csv", "jsonl", "json", "pdf"):
        exports.append(ask(ada, kind))
        cancel_export(exports[-1])
    last = ask(ada, "xlsx")
    assert plans() == [exports[0].pk]
    with committed():
        plan.run(exports[0].pk)
    assert plans() == [exports[0].pk, last.pk]
    assert set(window.planning()) == {last.pk}


@pytest.mark.parametrize("state", ["rendering", "assembling"])
def test_a_retry_after_planning_is_planned_at_once(ada: User, state: str) -> None:
    export = export_in(state, ada, published_at=timezone.now())
    cancel_export(export)
    with committed():
        retry_export(export)
    assert plans() == [export.pk]


def test_a_lost_plan_is_published_again(ada: User) -> None:
    export = ask(ada)
    assert plan_next() == []
    Export.objects.update(published_at=Work.moment_in(-600))
    assert plan_next() == [export.pk]


def test_a_new_export_waits_while_others_wait(ada: User, bob: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": 1}
    first, second = ask(ada), ask(ada, "jsonl")
    Export.objects.filter(pk=first.pk).update(published_at=None)  # its hint could not be sent
    his = ask(bob)
    assert plans() == [first.pk]
    assert plan_next() == [first.pk]
    assert set(window.fairest_plans(3)) == {his, second}


@pytest.mark.django_db(transaction=True)
def test_concurrent_processes_do_not_overfill_the_window_of_plans(ada: User, bob: User) -> None:
    for owner in (ada, bob):
        for _ in range(6):
            export_in("queued", owner)
    at_once(*[window.fill_plans] * 4)
    assert len(plans()) == len(set(plans())) == len(window.planning()) == 4
    assert sorted(window.planning().values()) == [ada.pk, ada.pk, bob.pk, bob.pk]


# --- fan-in ---------------------------------------------------------------------------------------------------------


def finished(export: Export, *states: str) -> None:
    for index, state in enumerate(states):
        part_in(state, export, index)


@pytest.mark.parametrize(
    ("states", "due"),
    [(("done",), True), (("done", "done"), True), (("done", "waiting"), False), (("done", "failed"), False)],
)
def test_assembling_is_due_when_all_parts_are_done(ada: User, states: tuple[str, ...], due: bool) -> None:
    export = export_in("rendering", ada)
    finished(export, *states)
    with committed():
        assert window.finish_rendering(export.pk) is due
        assert window.finish_rendering(export.pk) is False
    export.refresh_from_db()
    assert export.state == (State.ASSEMBLING if due else State.RENDERING)
    assert hints.pks_of("exports.tasks.assemble_export") == ([export.pk] if due else [])


@pytest.mark.parametrize("state", [state for state in State if state != State.RENDERING])
def test_only_rendering_exports_are_fanned_in(ada: User, state: State) -> None:
    export = export_in(state, ada)
    finished(export, "done")
    assert window.finish_rendering(export.pk) is False


def test_assembling_has_attempts_of_its_own(ada: User) -> None:
    export = export_in("rendering", ada, attempt=5, attempt_limit=5)
    finished(export, "done")
    window.finish_rendering(export.pk)
    lease = Export.objects.claim(export.pk)
    assert lease is not None
    assert (lease.attempt, lease.work.failures, lease.last_attempt) == (6, 1, False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("artifact_dir")
def test_the_last_parts_of_an_export_may_end_at_the_same_moment(ada: User) -> None:
    for _ in range(5):
        parts = waiting(ada, 3)
        at_once(*[partial(render.run, part.pk) for part in parts])
        export = Export.objects.get(pk=parts[0].export_id)
        assert set(export.parts.values_list("state", flat=True)) == {PartState.DONE}
        assert (export.state, hints.pks_of("exports.tasks.assemble_export").count(export.pk)) == (State.ASSEMBLING, 1)


class Faulty(Errands):
    def source(self, *args: object) -> Source:
        raise ZeroDivisionError


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("artifact_dir")
def test_parts_that_fail_at_the_same_moment_fail_the_export_once(ada: User, caplog: pytest.LogCaptureFixture) -> None:
    with registered(Faulty):
        for _ in range(5):
            parts = waiting(ada, 4)
            at_once(*[partial(render.run, part.pk) for part in parts])
            export = Export.objects.get(pk=parts[0].export_id)
            assert (export.state, export.error_code) == (State.FAILED, "dataset_failed")
            assert not export.parts.filter(next_attempt_at__isnull=False).exists()
    assert Notification.objects.of(ada.pk).count() == 5
    assert "the database is unavailable" not in caplog.text, "the parts deadlocked"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("artifact_dir")
def test_cancelling_while_parts_fail_ends_cancelled_or_failed(ada: User) -> None:
    with registered(Faulty):
        for _ in range(5):
            parts = waiting(ada, 3)

            def cancel(export: Export = parts[0].export) -> None:
                try:
                    cancel_export(export)
                except WrongState:
                    pass

            at_once(*[partial(render.run, part.pk) for part in parts], cancel)
            export = Export.objects.get(pk=parts[0].export_id)
            assert export.state in (State.FAILED, State.CANCELLED)
            assert not export.parts.filter(next_attempt_at__isnull=False).exists()

"""Tests of jobs from outside: workers at the same moment, the admin, the command, the Celery tasks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from PIL import Image
from pytest_django import Settings

from config.environment import BASE_DIR
from durable import admin as job_admin
from durable.celery.messages import Consumer
from durable.jobs import Job
from durable.rates import Permit
from tests.support.host_apps import installed
from tests.support.jobs import acting, fresh, marks, raising, work
from tests.support.threads import at_once
from tests.work.models import Call, Parcel, Stamp

TOGETHER = 10
"""Seconds that one worker waits for the other."""
transactional = pytest.mark.django_db(transaction=True)


# --- workers at the same moment -------------------------------------------------------------------------------------


@transactional
def test_two_workers_keep_a_rate_limit() -> None:
    calls = [Call.enqueue() for _ in range(8)]

    def worker(mine: list[Call]) -> None:
        for call in mine:
            work(call)

    at_once(partial(worker, calls[::2]), partial(worker, calls[1::2]))
    rows = [fresh(call) for call in calls]
    assert (len(marks()), sorted(row.state for row in rows)) == (3, ["done"] * 3 + ["waiting"] * 5)
    assert {row.failures for row in rows if row.state == "waiting"} == {0}
    assert Permit.objects.count() == 3


@transactional
@pytest.mark.parametrize("taken", [0, 1])
def test_workers_that_want_the_last_permit_at_the_same_moment(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Call, "rate_limit", f"{taken + 1}/h")
    for _ in range(taken):
        work(Call.enqueue())
    calls = [Call.enqueue() for _ in range(4)]
    at_once(*(partial(work, call) for call in calls))
    assert len(marks()) == taken + 1


@transactional
def test_two_requests_at_the_same_moment_make_one_row() -> None:
    found = at_once(*(partial(Stamp.enqueue, number=1) for _ in range(4)))
    assert len({job.pk for job in found}) == Stamp.objects.count() == 1


@transactional
def test_a_message_that_two_workers_get_at_the_same_moment() -> None:
    job = Stamp.enqueue(number=1)
    at_once(partial(work, job), partial(work, job))
    assert (fresh(job).state, fresh(job).attempt, marks()) == ("done", 1, ["stamp 1"])


@transactional
@pytest.mark.parametrize("turn", range(5))
def test_the_last_two_of_a_group_end_at_the_same_moment(turn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL, both are within the transactions that end them, and neither sees the other's."""
    both = threading.Barrier(2)
    if connection.vendor == "postgresql":
        monkeypatch.setattr(Stamp, "record", lambda self, result: both.wait(TOGETHER))
    members = [Stamp(number=number, act="wait") for number in range(2)]
    follower = Job.enqueue_group(members, then=Parcel(number=1))

    def wait(_stamp: Stamp) -> None:
        if connection.vendor != "postgresql":
            both.wait(TOGETHER)

    with acting("wait", wait):
        at_once(*(partial(work, member) for member in members))
    assert fresh(follower).state == "waiting"
    at_once(partial(work, follower), partial(work, follower))
    assert (fresh(follower).attempt, marks().count("parcel 1")) == (1, 1)


# --- the admin ------------------------------------------------------------------------------------------------------


@pytest.fixture
def parked(db: None) -> Stamp:
    job = Stamp.enqueue(number=1, act="fail")
    with raising(KeyError("no ink")):
        work(job)
    return job


def page_of(client: Client, job: Job) -> str:
    """Return the page of a row in the admin."""
    return client.get(reverse(f"admin:work_{job._meta.model_name}_change", args=[job.pk])).content.decode()


def press(client: Client, action: str, *jobs: Job) -> str:
    """Run an action of the admin on these rows, and return the page that follows."""
    data = {"action": action, "_selected_action": [job.pk for job in jobs]}
    return client.post(reverse("admin:work_stamp_changelist"), data, follow=True).content.decode()


def test_the_admin_shows_why_and_tries_again(admin_client: Client, parked: Stamp) -> None:
    listing = admin_client.get(reverse("admin:work_stamp_changelist")).content.decode()
    assert "KeyError: &#x27;no ink&#x27;" in listing
    page = page_of(admin_client, parked)
    assert "Traceback (most recent call last)" in page
    assert "Save" not in page
    assert "1 job changed." in press(admin_client, "try_again", parked)
    with acting("fail", lambda stamp: {"ink": "blue"}):
        assert work(parked).state == "done"
    assert "&quot;ink&quot;: &quot;blue&quot;" in page_of(admin_client, parked)


def test_the_admin_shows_what_a_blocked_job_waits_for_and_starts_it(admin_client: Client) -> None:
    members = [Stamp(number=number, act="fail") for number in range(2)]
    follower = Job.enqueue_group([*members, Call()], then=Parcel(number=1))
    with raising(KeyError()):
        work(members[0])
    work(Call.objects.get())
    waits = f"stamp {members[0].pk} (Failed), stamp {members[1].pk} (Waiting)"
    assert f'<div class="readonly">{waits}</div>' in page_of(admin_client, follower)
    data = {"action": "try_again", "_selected_action": [follower.pk]}
    admin_client.post(reverse("admin:work_parcel_changelist"), data)
    assert fresh(follower).state == "waiting"
    assert waits not in page_of(admin_client, follower)


def test_the_admin_runs_no_job_again_that_is_done(admin_client: Client, parked: Stamp) -> None:
    done, running = Stamp.enqueue(number=2), Stamp.enqueue(number=3)
    work(done)
    Stamp.objects.claim(running.pk)
    assert "Running" in admin_client.get(reverse("admin:work_stamp_changelist")).content.decode()
    said = press(admin_client, "try_again", parked, done, running)
    assert "1 job changed." in said
    assert "2 jobs not changed" in said
    assert "2 jobs changed." in press(admin_client, "cancel", parked, done, running)
    assert [fresh(job).state for job in (parked, done, running)] == ["cancelled", "done", "cancelled"]


def test_staff_who_may_only_look_change_nothing(client: Client, parked: Stamp) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_stamp"))
    client.force_login(clerk)
    page = client.get(reverse("admin:work_stamp_changelist")).content.decode()
    assert "KeyError" in page
    assert "try_again" not in page
    press(client, "try_again", parked)
    assert fresh(parked).state == "failed"


@pytest.fixture
def own_admin() -> Iterator[type[admin.ModelAdmin[Stamp]]]:
    """A site's own admin of stamps, registered instead of ours."""

    class StampAdmin(job_admin.JobAdmin):
        pass

    admin.site.unregister(Stamp)
    admin.site.register(Stamp, StampAdmin)
    yield StampAdmin
    admin.site.unregister(Stamp)
    job_admin.connect()


def test_a_sites_own_admin_is_kept(own_admin: type[admin.ModelAdmin[Stamp]]) -> None:
    job_admin.connect()
    assert type(admin.site._registry[Stamp]) is own_admin
    assert type(admin.site._registry[Call]) is job_admin.JobAdmin


# --- the command ----------------------------------------------------------------------------------------------------


def runjob(*arguments: Any) -> str:
    out = StringIO()
    call_command("runjob", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["Stamp", "stamp", "work.Stamp"])
def test_runjob_runs_a_job_here(name: str) -> None:
    job = Stamp.enqueue(number=1, after=60)
    assert runjob(name, job.pk) == f"stamp {job.pk}: done {{'number': 1}}\n"
    with pytest.raises(CommandError, match=f"stamp {job.pk} is done: run it again with --again"):
        runjob(name, job.pk)
    assert "done" in runjob(name, job.pk, "--again")
    assert marks() == ["stamp 1"] * 2


def test_runjob_raises_the_error_of_the_job(parked: Stamp) -> None:
    with raising(ConnectionError("away")), pytest.raises(ConnectionError, match="away"):
        runjob("Stamp", parked.pk)
    assert fresh(parked).reason == "ConnectionError: away"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "key", "words"),
    [
        ("Stamps", "1", "'Stamps' is not the name of one class of jobs. Choose one of: .*work.Stamp"),
        ("Stamp", "7", "There is no stamp 7"),
        ("Stamp", "x", "There is no stamp x"),
    ],
)
def test_runjob_says_what_it_cannot_find(name: str, key: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        runjob(name, key)


@pytest.mark.django_db
def test_runjob_leaves_a_job_to_its_worker() -> None:
    job = Stamp.enqueue(number=1)
    Stamp.objects.claim(job.pk)
    with pytest.raises(CommandError, match="is being run by another process"):
        runjob("Stamp", job.pk)


# --- Celery ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "queue"), [(Stamp, "high"), (Parcel, "high"), (Call, "bulk")])
def test_each_class_has_a_task_with_its_limits_and_its_queue(kind: type[Job], queue: str) -> None:
    task: Any = current_app.tasks[kind.task_name()]
    assert (task.soft_time_limit, task.time_limit, task.ignore_result) == (240, 300, True)
    assert current_app.amqp.router.route({}, task.name)["queue"].name == queue


@transactional
def test_an_eager_app_runs_a_chain(settings: Settings) -> None:
    settings.CARRYALL = {}
    with installed("redis://127.0.0.1:1/0", task_always_eager=True):
        first = Stamp.enqueue(number=1, then=Parcel(number=2))
    assert (fresh(first).state, marks()) == ("done", ["stamp 1", "parcel 2"])


def test_a_job_of_another_release_is_ours() -> None:
    """The worker rejects its message without a result: the row is due all the same."""
    consumer: Any = SimpleNamespace(app=current_app)
    known = [
        Consumer._is_ours(consumer, SimpleNamespace(headers={"task": task}))  # type: ignore[arg-type]
        for task in ("durable.jobs.high.shop.refund", "shop.tasks.charge")
    ]
    assert known == [True, False]


# --- the guide ------------------------------------------------------------------------------------------------------

GUIDE = BASE_DIR / "docs" / "how-to" / "jobs.md"
BLOCK = re.compile(r"^```py(?:thon)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILES = {
    "mysite/__init__.py": "from .celery import app as celery_app\n\n__all__ = ['celery_app']\n",
    "mysite/celery.py": """
from celery import Celery
from durable.celery import install
app = Celery("mysite", broker="redis://127.0.0.1:1/0")
app.autodiscover_tasks()
install(app)
""",
    "mysite/settings.py": """
from pathlib import Path
BASE_DIR = Path(__file__).parent.parent
SECRET_KEY = "of a test"
INSTALLED_APPS = [
    "durable", "gallery", "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.sessions", "django.contrib.messages",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
MEDIA_ROOT = BASE_DIR / "media"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
""",
    "gallery/__init__.py": "",
}
PICTURE = """
from django.core.files.base import ContentFile
from io import BytesIO
from PIL import Image
file = BytesIO()
Image.new("RGB", (640, 480)).save(file, "PNG")
photo = Photo.objects.create(file=ContentFile(file.getvalue(), "cat.png"))
broken = Photo.objects.create(file=ContentFile(b"no picture", "dog.png"))
photo, broken = Photo.objects.get(pk=photo.pk), Photo.objects.get(pk=broken.pk)
"""
AS_A_WORKER = """
from celery import current_app
for job in Thumbnail.objects.all():
    current_app.tasks["durable.jobs.high.gallery.thumbnail"].apply((job.pk,), throw=True)
print(*Thumbnail.objects.order_by("pk").values_list("state", "attempt"))
"""


ADMIN = "from django.contrib import admin; print(type(admin.site._registry[Thumbnail]).__name__)"


def test_the_example_of_the_guide_runs_in_a_new_project(tmp_path: Path) -> None:
    """It has no app of ours but durable, and nobody has written a task or registered anything."""
    model, enqueue, *others = BLOCK.findall(GUIDE.read_text())
    for name, text in {**FILES, "gallery/models.py": model}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "DATABASE_"))}

    def manage(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "django", *arguments], cwd=tmp_path, text=True, capture_output=True, check=False,
            env=environment | {"DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONPATH": f"{tmp_path}:{BASE_DIR}"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    manage("makemigrations", "gallery")
    manage("migrate")
    assert "no issues" in manage("check")
    manage("shell", "-c", PICTURE + enqueue + enqueue + "Thumbnail.enqueue(photo=broken)")
    assert manage("shell", "-v0", "-c", AS_A_WORKER) == "('done', 1) ('failed', 1)\n"
    [small] = (tmp_path / "media" / "photos").glob("*.small.png")
    with Image.open(small) as image:
        assert image.size == (320, 240)
    assert manage("runjob", "Thumbnail", "1", "--again") == "thumbnail 1: done {}\n"
    assert manage("shell", "-v0", "-c", ADMIN) == "JobAdmin\n"
    [own] = [block for block in others if block.startswith("# gallery/admin.py")]
    (tmp_path / "gallery" / "admin.py").write_text(own)
    assert manage("shell", "-v0", "-c", ADMIN) == "ThumbnailAdmin\n"


def test_the_example_of_the_guide_has_ten_lines() -> None:
    """Without the model that a site has anyway."""
    model, enqueue, *_ = BLOCK.findall(GUIDE.read_text())
    photo = model[model.index("class Photo") : model.index("class Thumbnail")]
    lines = [line for line in (model.replace(photo, "") + enqueue).splitlines() if line and line[0] != "#"]
    lines.remove("from django.db import models")
    assert len(lines) == 10

"""Faults of the services that the site depends on: database, mail server and storage."""

from __future__ import annotations

import sqlite3
from typing import Any, ClassVar

from tests.chaos.faults.base import Fault, Scene
from tests.chaos.mail import behave
from tests.chaos.plan import Strike, Weight
from tests.chaos.site import MAIL
from tests.support import storage_faults


class RestartPostgres(Fault):
    """An immediate shutdown: connections are dropped, and the start recovers from the write-ahead log."""

    kind, weight, resource = "database-restart", Weight(4), "database"

    def strike(self, scene: Scene, strike: Strike) -> str:
        assert scene.site.postgres is not None
        scene.site.postgres.restart_immediately(away=1.0)
        return "PostgreSQL"


class LockSqlite(Fault):
    """Another program holds SQLite's write lock."""

    kind, weight, resource = "database-lock", Weight(6, 8, 4), "database"
    _holder: sqlite3.Connection | None = None

    def strike(self, scene: Scene, strike: Strike) -> str:
        self._holder = sqlite3.connect(scene.site.var_dir / "db.sqlite3", timeout=30, isolation_level=None)
        self._holder.execute("BEGIN IMMEDIATE")
        return "SQLite"

    def heal(self, scene: Scene, strike: Strike) -> None:
        if self._holder is not None:
            self._holder.execute("ROLLBACK")
            self._holder.close()


class MailDown(Fault):
    """The server's port is closed. Open sessions continue, so every accepted mail is also acknowledged."""

    kind, resource, weight = "mail-down", "mail", Weight(1, 60, 5)
    behaviour: ClassVar[dict[str, Any]] = {"down": True}

    def strike(self, scene: Scene, strike: Strike) -> str:
        behave(scene.site.folder, **self.behaviour)
        return MAIL

    def heal(self, scene: Scene, strike: Strike) -> None:
        behave(scene.site.folder)


class MailSlow(MailDown):
    kind, weight, behaviour = "mail-slow", Weight(2, 15, 4), {"slow": 3.0}


class MailRefuses(MailDown):
    kind, weight, behaviour = "mail-refuses", Weight(2, 20, 4), {"refuse_for_now": True}


class MailSilent(MailDown):
    """The server accepts connections and never answers."""

    kind, weight, behaviour = "mail-silent", Weight(1, 15, 3), {"silent": True}


class FailStorage(Fault):
    """The storage is full, breaks off a write, stores too few bytes, is unreadable, or raises after storing a file."""

    kind, resource, late, control = "storage", "storage", True, False
    weight = Weight(10, 6, 3, names=("full", "lie", "fail_after", "read", "lost", "scratch_full"))

    def strike(self, scene: Scene, strike: Strike) -> str:
        storage_faults.arm(scene.site.storage_fault, **{strike.name: 100 if strike.name == "fail_after" else True})
        return ""

    def heal(self, scene: Scene, strike: Strike) -> None:
        storage_faults.heal(scene.site.storage_fault)

    def hit(self, scene: Scene, strike: Strike) -> str:
        times = storage_faults.happened(scene.site.storage_fault)
        return f"{times} times" if times else ""

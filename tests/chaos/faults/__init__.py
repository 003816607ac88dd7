"""The faults, and how each one heals."""

from __future__ import annotations

from tests.chaos.faults.base import Fault, Scene
from tests.chaos.faults.beside import (
    FailStorage,
    LockSqlite,
    MailDown,
    MailRefuses,
    MailSilent,
    MailSlow,
    RestartPostgres,
)
from tests.chaos.faults.broker import CutConnections, FlushAll, FreezeBroker, KillBroker, OrderFailover
from tests.chaos.faults.processes import (
    SHORT_POINTS,
    Deploy,
    KillBeat,
    KillChild,
    KillPoint,
    KillWeb,
    KillWorker,
    StopChild,
)
from tests.chaos.plan import Weight

__all__ = ["SHORT_POINTS", "Fault", "Scene", "faults", "weights"]

EVERYWHERE: tuple[type[Fault], ...] = (
    KillWorker, KillChild, StopChild, Deploy, KillBroker, FlushAll, CutConnections, FreezeBroker, MailDown, MailSlow,
    MailRefuses, MailSilent, FailStorage, KillWeb, KillBeat, KillPoint,
)  # fmt: skip
OF_DATABASE: dict[str, type[Fault]] = {"postgresql": RestartPostgres, "sqlite": LockSqlite}


def faults(database: str, broker: str) -> dict[str, Fault]:
    """Return the faults for a site with this database and broker, by kind."""
    kinds: list[type[Fault]] = [*EVERYWHERE, OF_DATABASE[database], *([OrderFailover] if broker == "sentinel" else [])]
    return {kind.kind: kind() for kind in kinds}


def weights(known: dict[str, Fault], *, short: bool) -> dict[str, Weight]:
    """Return the weight of each fault. The short form has only the most important kill points."""
    found = {kind: fault.weight for kind, fault in known.items()}
    if short and KillPoint.kind in found:
        found[KillPoint.kind] = Weight(0, names=SHORT_POINTS)
    return found

"""Faults of the broker: killed, frozen, flushed, disconnected or failed over."""

from __future__ import annotations

from tests.chaos.broker import Watched
from tests.chaos.faults.base import Fault, Scene
from tests.chaos.plan import Strike, Weight


class KillBroker(Fault):
    """Kill the broker. With Sentinel, the master: a failover. Otherwise the server restarts from its files."""

    kind, weight, resource = "broker-kill", Weight(4, 3, 1), "broker"

    def strike(self, scene: Scene, strike: Strike) -> str:
        return scene.site.broker.kill()

    def heal(self, scene: Scene, strike: Strike) -> None:
        scene.site.broker.revive()


class FlushAll(Fault):
    kind, weight, resource = "flushall", Weight(6), "broker"

    def strike(self, scene: Scene, strike: Strike) -> str:
        return f"{scene.site.broker.flush()} keys"


class CutConnections(Fault):
    kind, weight, resource = "connections-cut", Weight(6), "broker"

    def strike(self, scene: Scene, strike: Strike) -> str:
        cut = scene.site.broker.cut()
        return f"{cut} connections" if cut else ""


class FreezeBroker(KillBroker):
    """The broker keeps its connections and does not answer."""

    kind, weight = "broker-stop", Weight(3, 10, 4)

    def strike(self, scene: Scene, strike: Strike) -> str:
        return scene.site.broker.freeze()


class OrderFailover(Fault):
    """A planned failover: the master becomes the replica, as for maintenance of its machine."""

    kind, weight, resource = "failover", Weight(3), "broker"

    def strike(self, scene: Scene, strike: Strike) -> str:
        broker = scene.site.broker
        return broker.order() if isinstance(broker, Watched) else ""

"""The registry class of every extension point: datasets, formats, channels and kinds of notification, by key."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Generic, Protocol, TypeVar

from django.core.exceptions import ImproperlyConfigured


class Keyed(Protocol):
    @property
    def key(self) -> str: ...


K = TypeVar("K", bound=Keyed)


class Registry(Generic[K]):
    """Instances by key, in the order of registration."""

    def __init__(self, noun: str, unknown: type[Exception]) -> None:
        self._noun = noun
        self._unknown = unknown
        self._entries: dict[str, K] = {}
        self._reasons: dict[str, str] = {}

    def register(self, kind: type[K]) -> type[K]:
        """Class decorator: register one instance of `kind`. Raise ImproperlyConfigured if another class has its key."""
        self.add(kind())
        return kind

    def register_with(self, library: str, *, extra: str) -> Callable[[type[K]], type[K]]:
        """Class decorator: register it if `library` is installed. Otherwise `get` names the extra that it needs."""

        def decorate(kind: type[K]) -> type[K]:
            if find_spec(library) is not None:
                return self.register(kind)
            key = kind().key
            self.withhold(key, f'The {self._noun} {key!r} needs `pip install "carryall[{extra}]"`.')
            return kind

        return decorate

    def add(self, entry: K) -> None:
        """Register an instance. Raise ImproperlyConfigured if an instance of another class has its key."""
        holder = self._entries.get(entry.key)
        if holder is not None and type(holder).__qualname__ != type(entry).__qualname__:
            raise ImproperlyConfigured(
                f"The {self._noun} key {entry.key!r} of {_name(entry)} is taken by {_name(holder)}: choose another key."
            )
        self._entries[entry.key] = entry

    def get(self, key: str) -> K:
        """Return the entry with `key`. Raise `unknown`, with the known keys in its message, if there is none."""
        try:
            return self._entries[key]
        except KeyError:
            known = ", ".join(sorted(self._entries)) or "none"
            reason = self._reasons.get(key, f"There is no {self._noun} {key!r}.")
            raise self._unknown(f"{reason} Choose one of: {known}.") from None

    def withhold(self, key: str, reason: str) -> None:
        """Make `get` raise with this sentence for a key that cannot be registered."""
        self._reasons[key] = reason

    def unregister(self, key: str) -> None:
        """Remove `key` if it is registered. For tests that register their own."""
        self._entries.pop(key, None)

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries.values())

    def __contains__(self, key: object) -> bool:
        return key in self._entries


def _name(entry: object) -> str:
    return f"{type(entry).__module__}.{type(entry).__qualname__}"

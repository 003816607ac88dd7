"""The registry behind each extension point: keys to instances, refused early when they clash."""

from collections.abc import Iterator
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

    def register(self, kind: type[K]) -> type[K]:
        """Class decorator: one instance of `kind` under its key. Raises ImproperlyConfigured when the key is taken."""
        entry = kind()
        holder = self._entries.get(entry.key)
        if holder is not None and type(holder).__qualname__ != kind.__qualname__:
            raise ImproperlyConfigured(
                f"The {self._noun} key {entry.key!r} of {kind.__module__}.{kind.__qualname__} is taken by "
                f"{type(holder).__module__}.{type(holder).__qualname__}: choose another key."
            )
        self._entries[entry.key] = entry
        return kind

    def get(self, key: str) -> K:
        """The entry of `key`. Raise `unknown`, naming the keys that exist, if there is none."""
        try:
            return self._entries[key]
        except KeyError:
            known = ", ".join(sorted(self._entries)) or "none"
            raise self._unknown(f"There is no {self._noun} {key!r}. Choose one of: {known}.") from None

    def unregister(self, key: str) -> None:
        """Take `key` out, if it is in; for tests that register their own."""
        self._entries.pop(key, None)

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries.values())

    def __contains__(self, key: object) -> bool:
        return key in self._entries

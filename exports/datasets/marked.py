"""Texts with a meaning, such as a URL: `str` subclasses that formats may treat in their own way.

A format without a writer for one of them writes it as text.
"""


class Marked(str):
    """Text in the form of its column's type."""

    __slots__ = ()


class JsonText(Marked):
    """Compact JSON."""

    __slots__ = ()


class ListText(JsonText):
    """A JSON array."""

    __slots__ = ()


class UuidText(Marked):
    """A UUID in lower case, with hyphens."""

    __slots__ = ()


class IpText(Marked):
    """An IPv4 or IPv6 address, or a network."""

    __slots__ = ()


class Base64(Marked):
    """Bytes in base64, with padding and without line breaks."""

    __slots__ = ()


class Url(Marked):
    """A URL, or a text in its place."""

    __slots__ = ()


class Email(Marked):
    """An e-mail address, or a text in its place."""

    __slots__ = ()


class FileName(Marked):
    """The name of a file in its storage, with its folders."""

    __slots__ = ()

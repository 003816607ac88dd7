"""What a document may load while it is laid out: nothing."""

from typing import NoReturn

from weasyprint.urls import URLFetcher


class Closed(URLFetcher):  # type: ignore[misc]
    """Refuses every address: no protocol, no redirect, no file, no data URL.

    Our documents carry their style with them, and their fonts come from fontconfig. WeasyPrint logs
    a refusal and goes on.
    """

    def __init__(self) -> None:
        super().__init__(allowed_protocols=(), allow_redirects=False)

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> NoReturn:
        raise ValueError(f"Documents load nothing, so not {url[:100]} either.")

"""WeasyPrint URL fetcher that refuses to load anything."""

from typing import NoReturn

from weasyprint.urls import URLFetcher


class RefusingFetcher(URLFetcher):  # type: ignore[misc]
    """Refuses every URL: all protocols, redirects, files and data URLs.

    The documents contain their styles, and fontconfig provides their fonts. WeasyPrint logs a refusal and continues.
    """

    def __init__(self) -> None:
        super().__init__(allowed_protocols=(), allow_redirects=False)

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> NoReturn:
        raise ValueError(f"Documents must not load external resources: {url[:100]}")

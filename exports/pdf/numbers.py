"""Numbers as PDF takes them."""

EXACT = 5
"""Decimals of moves that add up down a page."""


def plain(number: float, decimals: int = 3) -> str:
    """Up to so many decimals, and no more than are needed."""
    text = f"{number:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def move(x: float, y: float) -> bytes:
    """The operator that moves the text position, in points, from where the line began; nothing for no way at all."""
    across, up = plain(x), plain(y, EXACT)
    return b"" if across == up == "0" else f"{across} {up} Td".encode()

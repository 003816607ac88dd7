"""Lines and heights of cells are the same as in WeasyPrint."""

from __future__ import annotations

from html import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weasyprint.formatting_structure import boxes

from exports.formats.pdf.internals import Sheet
from exports.formats.pdf.rows import Typesetter

CSS = """@page { size: 900pt 30000pt; margin: 10pt } html { font: 7.5pt/1.35 "Noto Sans", "DejaVu Sans" }
table { width: %spt; table-layout: fixed; border-spacing: 0 } tr { break-inside: avoid }
td { padding: 2pt; font-kerning: none; font-variant-ligatures: none; white-space: %s; overflow-wrap: %s }"""
ALPHABETS = (
    "abcdefghij KLMNOP 0123456789 .,-/()'\"!?:;%&*+=<>@#$ _ ",
    "abc defgh ijklm ",
    "aäöüß éèñ çÆøÅ €“”„–—…'’ 0-9/. ",
    "αβγδ Ωμέγα, слово Ёж № 12 - ",
    "Nguyễn Thị Ánh Tuyết Đường ",
    "中山路 88 号東京都、。（）ひらがなカタカナ abc 한국어 ",
    "abc שלום עולם مرحبا कखग नमस्ते ไทยกขค e\u0301 \u200b\u00a0 ~ \n",
    "ab \n cd-ef \t gh\n\n",
)
TEXTS = st.sampled_from(ALPHABETS).flatmap(lambda letters: st.text(letters, min_size=1, max_size=90))


def sheet(texts: list[str], width: float, space: str = "pre-line", wrap: str = "anywhere") -> Sheet:
    """Lay out `texts`, one per row, after two sample rows."""
    rows = "".join(f"<tr><td>{escape(text)}</td></tr>" for text in ["x", "x", *texts])
    head = f"<html lang=en><style>{CSS % (width, space, wrap)}</style>"
    return Sheet(f"{head}<table><thead><tr><th>h</th></tr></thead><tbody>{rows}</tbody></table>")


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.lists(TEXTS.filter(lambda text: text.strip(" \n\t")), min_size=8, max_size=16),
    st.sampled_from([18, 30, 45, 70, 120]),
    st.sampled_from([("pre-line", "anywhere"), ("normal", "anywhere"), ("pre-line", "normal"), ("nowrap", "normal")]),
)
def test_lines_match_weasyprint(texts: list[str], width: float, how: tuple[str, str]) -> None:
    laid_out = sheet(texts, width, *how)
    typesetter = Typesetter(laid_out, 1e9)
    heights = typesetter.rows([texts]).heights
    for text, row, height in zip(texts, laid_out.rows[2:], heights, strict=True):
        wanted = [box.width for box in row.descendants() if isinstance(box, boxes.TextBox) and box.text.strip(" ")]
        found = [line.width for line in typesetter.columns[0].lines(text) if line.ops]
        assert found == pytest.approx(wanted), text
        assert height == pytest.approx(row.height), text


def test_long_text_is_split_into_lines() -> None:
    (column,) = Typesetter(sheet([], 70), 1e9).columns
    lines = column.lines("x" * 50_000)
    assert len(lines) > 2_000
    assert sum(line.ops.count(b"x") for line in lines) == 50_000


def test_cache_of_pieces_is_bounded() -> None:
    (column,) = Typesetter(sheet([], 70), 1e9).columns
    for start in range(0, 30_000, 1_000):
        column.pieces([f"é {number}" for number in range(start, start + 1_000)])
    assert len(column._cache) <= 4_000


def test_soft_hyphens_do_not_lose_words() -> None:
    (column,) = Typesetter(sheet([], 18), 1e9).columns
    text = "ab\u00ad\u200bกข\u00adש\nab \u00adל\u00adक\u00ad\u00ad म त" * 5
    assert column.lines(text)

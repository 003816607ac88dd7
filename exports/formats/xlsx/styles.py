"""Styles of cells. Their numbers are fixed in advance, so that independently written parts agree on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

HEADING, DAY, MOMENT, TIME, DURATION, INTEGER, WRAPPED = range(1, 8)
DECIMAL = 7
"""The style of a number with n decimal places is DECIMAL + n, up to PLACES."""
PLACES = 15
MONEY = DECIMAL + PLACES + 1
"""First style of the currencies. Each currency has PLACES + 1 styles, for 0 to PLACES decimal places."""
CUSTOM = 164
"""The first ID of custom number formats."""
CODE = re.compile(r"[A-Za-z0-9]{1,12}")
"""A currency that a number format can contain without quotes."""
LONGEST = 30
"""Maximum length of a currency in a number format."""

ISO_4217 = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD "
    "CDF CHE CHF CHW CLF CLP CNH CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL "
    "GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD "
    "KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK "
    "NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP "
    "STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD "
    "XAF XAG XAU XCD XCG XDR XOF XPD XPF XPT XSU XUA YER ZAR ZMW ZWG ZWL "
)
CURRENCIES = ISO_4217.split()
"""All currencies, including recently withdrawn ones. Stored parts depend on the order: only append."""
KNOWN = frozenset(code.encode() for code in CURRENCIES)
MINOR_UNITS = {
    code.encode(): places
    for places, codes in {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for code in codes.split()
}
"""Decimal places of currencies, if not two. Source: ISO 4217, list one."""


def decimal_style(places: int) -> int:
    return DECIMAL + places if 0 < places <= PLACES else 0


class Styles:
    """The styles of one workbook, or of one part of it.

    `unlisted` are currencies that are not in ISO 4217, in order of appearance. Each part has its own order, so the
    workbook may have to renumber their styles (see `renumbering`).
    """

    def __init__(self, unlisted: Iterable[str] = ()) -> None:
        self.used: set[int] = set()
        """Money styles that cells use."""
        self._codes = [*CURRENCIES, *unlisted]
        self._places = {code.encode(): place for place, code in enumerate(self._codes)}

    @property
    def unlisted(self) -> list[str]:
        return self._codes[len(CURRENCIES) :]

    def money(self, places: int | None, code: bytes) -> int | None:
        """Return the style of an amount and mark it as used. Return None if no number format can show the amount or its
        currency.
        """
        if places is None or places > PLACES:
            return None
        place = self._places.get(code)
        if place is None:
            text = code.decode()
            if not _showable(text):
                return None
            place = self._places[code] = len(self._codes)
            self._codes.append(text)
        style = MONEY + place * (PLACES + 1) + places
        self.used.add(style)
        return style

    def renumbering(self, unlisted: Sequence[str]) -> dict[int, int]:
        """Add a part's unlisted currencies. Return the new numbers of its styles that differ in this workbook."""
        found = {}
        for place, code in enumerate(unlisted, len(CURRENCIES)):
            here = self._places.setdefault(code.encode(), len(self._codes))
            if here == len(self._codes):
                self._codes.append(code)
            for places in range(PLACES + 1):
                before, after = (MONEY + each * (PLACES + 1) + places for each in (place, here))
                if before != after:
                    found[before] = after
        return found

    def xml(self) -> str:
        """Return the XML of the workbook's styles, with only the money styles in use."""
        formats = {
            DAY: "yyyy-mm-dd",
            MOMENT: "yyyy-mm-dd hh:mm:ss",
            TIME: "hh:mm:ss",
            DURATION: "[h]:mm:ss",
            INTEGER: "0",
        }
        formats |= {DECIMAL + places: "0." + "0" * places for places in range(1, PLACES + 1)}
        formats |= {style: self._looks(style) for style in sorted(self.used)}
        numbers = {style: CUSTOM + place for place, style in enumerate(formats)}
        looks = "".join(
            f'<numFmt numFmtId="{numbers[style]}" formatCode="{escape(code)}"/>' for style, code in formats.items()
        )
        cells = "".join(_cell(style, numbers.get(style, 0)) for style in range(max(formats) + 1))
        return (
            f'{HEAD}<numFmts count="{len(formats)}">{looks}</numFmts>{LOOKS}'
            f'<cellXfs count="{max(formats) + 1}">{cells}</cellXfs>{TAIL}'
        )

    def _looks(self, style: int) -> str:
        place, places = divmod(style - MONEY, PLACES + 1)
        code = self._codes[place]
        unit = f"[${code}]" if CODE.fullmatch(code) else '"' + code.replace('"', "'") + '"'
        return "#,##0" + "." * bool(places) + "0" * places + f" {unit}"


def unknown(codes: Iterable[str]) -> list[str]:
    """Return the codes that are not in ISO 4217 but that a number format can show, in order of appearance."""
    return [code for code in dict.fromkeys(codes) if code not in CURRENCIES and _showable(code)]


def _showable(code: str) -> bool:
    return 0 < len(code) <= LONGEST and code.isprintable()


def _cell(style: int, number: int) -> str:
    if style == HEADING:
        return (
            '<xf numFmtId="0" fontId="1" fillId="0" borderId="1" xfId="0" applyFont="1" applyBorder="1" '
            'applyAlignment="1"><alignment vertical="top" wrapText="1"/></xf>'
        )
    if style == WRAPPED:
        return (
            '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0" applyAlignment="1">'
            '<alignment vertical="top" wrapText="1"/></xf>'
        )
    if not number:
        return '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    return (
        f'<xf numFmtId="{number}" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" '
        'applyAlignment="1"><alignment shrinkToFit="1"/></xf>'
    )


HEAD = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    '<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
)
FONT = '<sz val="11"/><name val="Calibri"/><family val="2"/>'
LOOKS = (
    f'<fonts count="2"><font>{FONT}</font><font><b/>{FONT}</font></fonts><fills count="2">'
    '<fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="2"><border><left/><right/><top/><bottom/><diagonal/></border><border><left/><right/><top/>'
    '<bottom style="thin"><color auto="1"/></bottom><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
)
TAIL = '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'

"""Numbers in texts with signs, separators, currencies, units or multiples, and the code that converts them."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from skbackprop._values import NUMBER

ODD_SHARE = 0.05  # share of texts that may be different
DIGITS = 15  # at most: identifiers may have more, and floats lose them
PHONE = 9  # groups of so many digits may be a phone number
SPACES = " \u00a0\u2009\u202f"
MINUS = "-\u2212\u2013"  # hyphen, minus and en dash in front of a number
CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|BRL|MXN|KRW|TRY"
CURRENCY = rf"[A-Z]{{0,2}}[$€£¥₹]|(?i:{CODES}|Rs\.?|kr\.?|Fr\.?)"
# 1,250 or 1.250 or 1 250; 1,25,000; 1250; nothing in front of a point
WHOLE_PART = (
    rf"[1-9]\d{{0,2}}(?P<mark>[,.'\u2019{SPACES}])\d{{3}}((?P=mark)\d{{3}})*"
    r"|[1-9]\d?(?P<lakh>,)(\d\d,)+\d{3}|\d+|(?=\.\d)"
)
AMOUNT = re.compile(
    rf"[{SPACES}]*+(?P<sign>[{MINUS}+]?)[{SPACES}]*+(?P<before>{CURRENCY})?[{SPACES}]*+(?P<inner>[{MINUS}+]?)[{SPACES}]*+"
    rf"(?P<whole>{WHOLE_PART})(?P<part>(?!(?P=mark)|(?P=lakh))[.,]\d+)?(?P<trailing>[-\u2212]?)(?P<after>\D*)",
    re.ASCII,
)
IN_BRACKETS = re.compile(r"([^\d()]*)\(([^()]+)\)([^\d()]*)", re.ASCII)  # a negative number
MULTIPLES = {"k": 3, "K": 3, "m": 6, "M": 6, "mn": 6, "Mio": 6, "Mio.": 6, "B": 9, "bn": 9, "Mrd": 9, "Mrd.": 9}
UNITS = {"K", "m"}  # multiples that are units if all numbers have them, behind a space: kelvins, metres
AFTER = re.compile(rf"({'|'.join(map(re.escape, MULTIPLES))})\s*([$€£¥₹]|{CODES})?", re.ASCII)
# no units: multiples, also in front of a currency, debit and credit, years BC, and what else holds a sign or is one
SCALE = r"(hundred|thousand|tausend|tsd|[mbt]r?illi(on|ard)|mill?\b|[mb]l[nd]\b|[mbt]n\b|lakh|lac\b|crore|dozen).*"
SIGN = r"[cd]r\.?|debit|credit|soll|haben|bce?|ad|ce|[vn]\.\s*chr\.?|[ap]\.?m\.?"
SCALED = rf"[kKMB]\s.*|MM\b.*|[^\s$€£¥₹].*([$€£¥₹]|\b({CODES}))"
NO_UNIT = re.compile(  # "12.-" is a price
    rf"(?i:{SCALE}|{SIGN})|[HSD]|(?!{CURRENCY}){SCALED}|(?![.,][{MINUS}]+[^{MINUS}]*$).*[{MINUS}+()].*", re.ASCII
)
RATE = re.compile(r"per\b|pro\b|each\b")  # behind a price

# any number without leading zeros
NUMERAL = re.compile(
    r"(?<!\d)(?!0\d)([1-9]\d{0,2}(,\d{3})+(\.\d+)?|[1-9]\d?(,\d\d){1,6},\d{3}|\d+([.,]\d+)?)", re.ASCII
)
BEFORE = re.compile(rf"[<>≤≥~≈]*\s*({CURRENCY})?\s*", re.ASCII)
INFINITE = re.compile(r"[-+]?inf(inity)?", re.IGNORECASE)  # numbers for pandas
PATTERNS = 5  # numbers with other texts have at most so many patterns
SHORT_PHONE = 7  # digits


class Amount(NamedTuple):
    """A text that is a number, by its parts."""

    sign: str  # of a negative number; "(" for brackets
    is_trailing: bool  # the sign
    whole: str
    mark: str  # between thousands
    part: str  # decimals, with their mark
    multiple: str  # key of MULTIPLES, or empty
    affixes: tuple[str, str]  # currency and unit
    is_apart: bool  # the unit or multiple, from the digits
    may_be_code: bool  # has nothing but digits next to letters: SEK123 or 123A

    def with_decimals(self, decimal: str) -> Amount:
        """The amount if this is the mark in front of decimals; 1.250 may be a thousand or one."""
        if self.mark != decimal or self.part:
            return self
        whole, _, part = self.whole.partition(decimal)
        return self._replace(whole=whole, mark="", part=decimal + part)

    def value(self, exponent: int) -> float:
        """The number, times a power of ten."""
        digits = re.sub(r"\D", "", self.whole, flags=re.ASCII)
        return float(f"{'-' if self.sign else ''}{digits}{self.part.replace(',', '.')}e{exponent}")


class Step(NamedTuple):
    """A replacement in all texts."""

    old: str
    new: str = ""
    is_regex: bool = False

    @property
    def code(self) -> str:
        if self.is_regex:
            return f".str.replace(r'{self.old}', r'{self.new}', regex=True)"
        return f".str.replace({self.old!r}, {self.new!r})"

    def __call__(self, text: str) -> str:
        return re.sub(self.old, self.new, text) if self.is_regex else text.replace(self.old, self.new)


def amount_of(text: str) -> Amount | None:
    """Read a text as a number with its affixes; None if it has no sign or two, or anything else is in doubt."""
    brackets = IN_BRACKETS.fullmatch(text)
    found = AMOUNT.fullmatch("".join(brackets.groups()) if brackets else text)
    if found is None:
        return None
    signs = found["sign"] + found["inner"] + found["trailing"] + ("(" if brackets else "")
    after = found["after"].strip()
    scaled = AFTER.fullmatch(after)
    unit = (scaled[2] or "") if scaled else after
    before = found["before"] or ""
    is_doubtful = before and unit[:1].isalpha() and not (_is_currency(unit) or RATE.match(unit))  # $5 MM
    if len(signs) > 1 or is_doubtful or NO_UNIT.fullmatch(unit) or any(map(str.isdecimal, unit)):  # of other scripts
        return None
    digits = re.sub(r"\D", "", found["whole"], flags=re.ASCII)
    if re.match(r"0\d", found["whole"]) or len(digits) > DIGITS:  # an identifier
        return None
    follows = before.isalpha() and found[0][found.end("before")] not in SPACES and not scaled
    leads = not before and re.fullmatch("[A-Z]", found["after"].rstrip()) is not None
    is_plain = not (found["mark"] or found["lakh"] or found["part"])
    return Amount(
        signs.replace("+", ""),
        bool(found["trailing"]),
        found["whole"],
        found["mark"] or found["lakh"] or "",
        found["part"] or "",
        scaled[1] if scaled else "",
        (before, unit),
        after != "" and found["after"][0] in SPACES,
        is_plain and (follows or leads),
    )


def amount_line(name: Hashable, texts: Iterable[str]) -> str:
    """The line that converts a column to numbers; empty if it is in doubt which numbers its texts are.

    They must have the same unit or currency, and the same decimal mark. The line is checked: for each of the texts it
    gives exactly the number that was read, and a missing value for a text that is none.
    """
    read = {text: amount_of(text.strip()) for text in texts}
    odd = [amount for text, amount in read.items() if not NUMBER.fullmatch(text.strip())]
    known = [amount for amount in odd if amount is not None]
    if (
        not known
        or len(known) < (1.0 - ODD_SHARE) * len(odd)
        or _are_phones(known)
        or all(amount.may_be_code for amount in known)
    ):
        return ""
    amounts = [amount for amount in read.values() if amount is not None]
    decimal, exponents = _decimal_mark(amounts), _exponents(amounts)
    units = {amount.affixes for amount in amounts} - {("", "")}
    is_bare = len(odd) < len(read) or any(amount.affixes == ("", "") for amount in known)
    if (
        decimal is None
        or exponents is None
        or len({_singular(*affixes) for affixes in units}) > 1
        or (is_bare and any(unit and not _is_currency(unit) for _, unit in units))  # 5 kg beside 300
    ):
        return ""
    read = {text: amount and amount.with_decimals(decimal) for text, amount in read.items()}
    steps = _steps(read, {affix for affixes in units for affix in affixes if affix}, decimal, exponents)
    for text, amount in read.items():
        if amount is not None:
            expected: float | None = amount.value(exponents[amount.multiple])
        else:  # a number such as 1e5
            expected = float(text) if NUMBER.fullmatch(text.strip()) and decimal == "." else None
        converted = functools.reduce(lambda changed, step: step(changed), steps, text).strip()
        number = float(converted) if NUMBER.fullmatch(converted) else None
        if number != expected or INFINITE.fullmatch(converted):
            return ""
    code = "".join(step.code for step in steps)
    return f"X[{name!r}] = pandas.to_numeric(X[{name!r}].astype(str){code}, errors='coerce')"


def _singular(before: str, unit: str) -> tuple[str, str]:
    return before, re.sub(r"(?<=\w\w)s$", "", unit)


def _steps(read: dict[str, Amount | None], affixes: set[str], decimal: str, exponents: dict[str, int]) -> list[Step]:
    """Replacements that make numbers of the texts."""
    amounts = [amount for amount in read.values() if amount is not None]
    signs, characters = {amount.sign for amount in amounts}, set("".join(read))
    by_length = sorted(sorted(exponents), key=len, reverse=True)
    cut = sorted(affixes | {multiple for multiple in exponents if multiple and not exponents[multiple]})
    cut = sorted(cut, key=len, reverse=True)
    cut += sorted({amount.mark for amount in amounts if amount.mark} | (characters & set(SPACES)))
    steps = [Step(old) for old in cut]
    steps += [Step(minus, "-") for minus in MINUS[1:] if minus in signs]
    if decimal == "," and any(amount.part for amount in amounts):
        steps.append(Step(",", "."))
    if "(" in signs:
        steps.append(Step(r"^\((.*)\)$", r"-\1", is_regex=True))
    if any(amount.is_trailing for amount in amounts):
        steps.append(Step("^(.*)-$", r"-\1", is_regex=True))
    return steps + [Step(multiple, f"e{exponents[multiple]}") for multiple in by_length if exponents[multiple]]


def _are_phones(amounts: list[Amount]) -> bool:
    """Tell whether groups of digits may be phone numbers: all have equally many, and nothing but digits."""
    lengths = {len(re.sub(r"\D", "", amount.whole)) for amount in amounts}
    plain = all(amount.affixes == ("", "") and not amount.part and not amount.multiple for amount in amounts)
    grouped = all(amount.mark and amount.mark in f".{SPACES}" for amount in amounts)
    return plain and grouped and len(lengths) == 1 and max(lengths) >= PHONE


def _decimal_mark(amounts: list[Amount]) -> str | None:
    """The mark in front of decimals, comma or point; None if it is in doubt, as in 1.250."""
    commas_and_points = [amount for amount in amounts if amount.mark in (",", ".")]
    sure = {amount.part[0] for amount in amounts if amount.part}
    sure |= {",."[amount.mark == ","] for amount in commas_and_points if amount.whole.count(amount.mark) > 1}
    marks = {amount.mark for amount in commas_and_points}
    lengths = {len(amount.part) - 1 for amount in amounts if amount.part}
    if lengths == {1, 2} and sure == {","} and not marks - {","} and all(a.affixes == ("", "") for a in amounts):
        return None  # 1,13 and 10,2 may be pairs or versions
    if len(lengths) > 1 and any(amount.part[:1] == "," and amount.part[-1] == "0" for amount in amounts):
        return None  # 1,5 beside 1,50
    if sure or len(marks) != 1:
        decimal = min(sure, default=".")
        may_be_both = decimal in marks and len(lengths) < 2 and lengths != {3}  # 1.250 beside 1.50 only
        return None if len(sure) > 1 or may_be_both or len(marks) > 1 > len(sure) else decimal
    # one mark with three digits behind it: thousands, unless numbers without it tell that it is not
    bare = {len(amount.whole) for amount in amounts if not amount.mark}
    affixes = _affixes(amounts)
    is_money = affixes != set() and all(map(_is_currency, affixes))
    if bare:  # hundreds; no decimals end in 0 if some numbers have none
        is_usual = is_money or (not affixes and marks == {","})
        is_sure = max(bare) == 3 and (is_usual or any(amount.whole[-1] == "0" for amount in commas_and_points))
    else:  # tens of thousands
        is_sure = is_money and any(len(amount.whole) > 5 for amount in commas_and_points)
    return ",."[marks == {","}] if is_sure else None


def _affixes(amounts: list[Amount]) -> set[str]:
    """Currencies and units of all amounts."""
    return {affix for amount in amounts for affix in amount.affixes if affix}


def _is_currency(affix: str) -> bool:
    return re.fullmatch(CURRENCY, affix) is not None


def _exponents(amounts: list[Amount]) -> dict[str, int] | None:
    """The exponent of 10 for each multiple, 0 for units; None if it is in doubt which they are."""
    multiples = {amount.multiple for amount in amounts}
    found = multiples - {""}
    affixes = _affixes(amounts)
    if not all(map(_is_currency, affixes)) or {"m", "M"} <= multiples:
        return None if found else {"": 0}
    if found and not affixes:
        if len(multiples) == 1 and found <= UNITS and all(amount.is_apart for amount in amounts):
            return dict.fromkeys(multiples, 0)
        bare = [amount for amount in amounts if not amount.multiple]
        are_short = all(len(amount.whole) <= 3 for amount in bare) and (not bare or found & {"k", "K"})
        have_parts = not found & {"k", "K", "M"} or any(amount.part for amount in amounts if amount.multiple)
        if found & {"m", "B"} or found == {"K"} or not are_short or not have_parts:  # metres, bytes, kelvins, sizes
            return None
    return {multiple: MULTIPLES.get(multiple, 0) for multiple in multiples}


def with_numbers(texts: Iterable[str]) -> list[str]:
    """Two texts with numbers, if most of the texts are numbers with other text, such as units; else none.

    Numbers come first, and what is around them is the same in many texts. Those of identifiers, phones, versions and
    addresses are not such numbers.
    """
    patterns: dict[str, list[str]] = {}
    texts = sorted(texts)
    for text in texts:
        if pattern := _pattern(text):
            patterns.setdefault(pattern, []).append(text)
    counts = Counter({pattern: len(found) for pattern, found in patterns.items()}).most_common(PATTERNS)
    if 2 * sum(n for _, n in counts) <= len(texts):
        return []
    firsts = [patterns[pattern][0] for pattern, _ in counts[:2]]
    return firsts if len(firsts) == 2 else patterns[counts[0][0]][:2]


def _pattern(text: str) -> str:
    """What is around the numbers of a text, with # for each; empty if they may be those of an identifier."""
    text = re.sub(rf"(^|[\s,;:(])[{MINUS}+](?=[\d.])", r"\1", text.replace("#", "?"))
    text = re.sub(r"[()]", "", text).strip()
    numerals = [found[0] for found in NUMERAL.finditer(text)]
    pattern = NUMERAL.sub("#", text)
    if not numerals or re.search(r"\d", pattern):
        return ""
    first, *between, last = pattern.split("#")
    have_marks = all(re.search("[.,]", numeral) for numeral in numerals)
    if not (BEFORE.fullmatch(first) or have_marks) or re.match(r"[-\u2212]?\s*[-_/.]", last):
        return ""
    digits = len(re.sub(r"\D", "", text, flags=re.ASCII))
    may_be_phone = not have_marks and (len(numerals) > 2 or digits >= SHORT_PHONE)
    if any("." in gap or (may_be_phone and not gap.strip(" -/")) for gap in between):
        return ""
    return pattern

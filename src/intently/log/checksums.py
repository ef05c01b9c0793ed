"""Numbers that prove themselves: cards, accounts, articles and identity numbers with their check digits.

Each function takes the number without spaces or dashes and says whether it is a possible one.
"""

from __future__ import annotations

from datetime import date

# Province codes of Chinese resident identity numbers (GB/T 2260).
_PROVINCES = {
    *(11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54),
    *(61, 62, 63, 64, 65, 71, 81, 82, 83, 91),
}

# Length by country, from the IBAN registry of SWIFT.
_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
IBAN_LENGTHS = {country: length for length, countries in _COUNTRIES.items() for country in countries.split()}


def luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1)."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[::-2]) + sum(n - 9 if n > 9 else n for n in doubled)) % 10 == 0


def card(digits: str) -> bool:
    """A card number: issuer, length that this issuer uses, and the check digit."""
    head, length = int(digits[:4]), len(digits)
    fits = (
        (4000 <= head <= 4999 and length == 16)
        or ((5100 <= head <= 5599 or 2221 <= head <= 2720) and length == 16)
        or ((3400 <= head <= 3499 or 3700 <= head <= 3799) and length == 15)
        or ((head == 6011 or 6440 <= head <= 6599) and 16 <= length <= 19)
        or ((3000 <= head <= 3059 or 3600 <= head <= 3699 or 3800 <= head <= 3999) and length == 14)
        or (3528 <= head <= 3589 and 16 <= length <= 19)
        or ((6200 <= head <= 6299 or 8100 <= head <= 8171) and 16 <= length <= 19)
        or (head in (5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763) and 16 <= length <= 19)
    )
    return fits and luhn(digits)


def iban(text: str) -> bool:
    """An international bank account number (ISO 13616): length of its country, and mod 97."""
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(sign, 36)) for sign in text[4:] + text[:4])) % 97 == 1


def article(digits: str) -> bool:
    """The check digit of GTIN: EAN-8, UPC-A, EAN-13 and GTIN-14."""
    body = [int(digit) for digit in digits[-2::-1]]
    return len(digits) in (8, 12, 13, 14) and (-(3 * sum(body[::2]) + sum(body[1::2]))) % 10 == int(digits[-1])


def chinese_resident(text: str) -> bool:
    """A Chinese resident identity number: 18 signs with a check (GB 11643-1999), or the 15 digits of before 1999."""
    if len(text) not in (15, 18) or int(text[:2]) not in _PROVINCES:
        return False
    if len(text) == 15:
        return _is_date(1900 + int(text[6:8]), int(text[8:10]), int(text[10:12]))
    year = int(text[6:10])
    if not 1880 <= year <= 2100 or not _is_date(year, int(text[10:12]), int(text[12:14])):
        return False
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(text[:17]))
    return "10X98765432"[total % 11] == text[17].upper()


def social_security(digits: str) -> bool:
    """A United States social security number: no area 000, 666 or 9xx, no group 00, no serial 0000."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def spanish(text: str) -> bool:
    """A Spanish DNI (8 digits and a letter) or NIE (X, Y or Z in place of the first digit)."""
    number = int(text[:-1].upper().translate(str.maketrans("XYZ", "012")))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == text[-1].upper()


def french_insurance(digits: str) -> bool:
    """A French NIR: 13 digits and a key of two (97 less the number modulo 97)."""
    return 1 <= int(digits[3:5]) <= 12 and 97 - int(digits[:13]) % 97 == int(digits[13:])


def brazilian(digits: str) -> bool:
    """A Brazilian CPF: two check digits; eleven times the same digit is none."""
    for length in (9, 10):
        total = sum(int(digit) * (length + 1 - place) for place, digit in enumerate(digits[:length]))
        if total * 10 % 11 % 10 != int(digits[length]):
            return False
    return len(set(digits)) > 1


def hong_kong(text: str) -> bool:
    """A Hong Kong identity card: one or two letters, six digits, a check sign."""
    body, check = text[:-1].upper().rjust(8), text[-1].upper()
    values = [36 if sign == " " else int(sign, 36) for sign in body]
    total = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True))
    return (total + int(check, 16)) % 11 == 0


def taiwanese(text: str) -> bool:
    """A Taiwanese identity number: a letter (the place), 1 or 2, eight digits of which the last is the check."""
    place = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(text[0].upper())
    digits = [place // 10, place % 10, *map(int, text[1:])]
    weights = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=True)) % 10 == 0


def korean(digits: str) -> bool:
    """A Korean resident number: a date and the century; numbers given since 2020 carry no check digit."""
    return _is_date(2000, int(digits[2:4]), int(digits[4:6]))


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True

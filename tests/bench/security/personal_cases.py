"""Personal data in the forms people write it, planted in real customers' messages."""

import random
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fleet_workers.rails import check_digits
from fleet_workers.rails.personal_values import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A text `before` + `value` + `after`, of which the value shall be hidden and nothing else."""

    kind: Kind
    before: str
    value: str
    after: str

    @property
    def text(self) -> str:
        return self.before + self.value + self.after


def personal_cases(messages: Sequence[str], *, count: int, seed: int) -> Iterator[Case]:
    """As many of each kind, in turn, each within another message."""
    chance = random.Random(seed)
    for number in range(count):
        kind = list(Kind)[number % len(Kind)]
        said, value = _VALUES[kind](chance)
        lead = chance.choice(_LEADS[kind] if said is None else [said])
        yield _planted(chance, kind, lead, value, chance.choice(messages))


def _planted(chance: random.Random, kind: Kind, lead: str, value: str, message: str) -> Case:
    opening, closing = chance.choice((("", ""), ("(", ")"), ('"', '"'), ("", "."), ("", ","),
                                      ("", "!"), ("", "?"), ("[", "]"), ("", ";")))  # fmt: skip
    quoted = chance.random()
    if quoted < _IN_JSON:
        before, after = f'{{"message": "{_escaped(message)}\\n{lead}', '", "open": true}'
        return Case(kind=kind, before=before, value=value, after=after)
    gap = chance.choice((" ", " ", "\n", " - ", ": "))
    if quoted < _AT_THE_END:
        before, after = f"{message}{gap}{lead}{opening}", closing
    else:
        before, after = f"{lead}{opening}", f"{closing}{gap}{message}"
    return Case(kind=kind, before=before, value=value, after=after)


def _escaped(message: str) -> str:
    return message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _email(chance: random.Random) -> tuple[str | None, str]:
    first, last = chance.choice(_NAMES), chance.choice(_NAMES)
    local = chance.choice((f"{first}.{last}", f"{first}_{last}{chance.randrange(99)}", first,
                           f"{first[0]}{last}", f"{first}+shop", f"{first}-{last}",
                           f"{first.upper()}.{last}", f"{chance.randrange(10**6)}"))  # fmt: skip
    domain = chance.choice(("gmail.com", "mail.example.co.uk", "müller.de", "x.io", "qq.com",
                            "sub.uni-bonn.de", "Outlook.COM", "my-firm.technology"))  # fmt: skip
    return None, f"{local}@{domain}"


def _card(chance: random.Random) -> tuple[str | None, str]:
    start, length = chance.choice((("4", 16), ("4", 13), ("51", 16), ("55", 16), ("2221", 16),
                                   ("2720", 16), ("34", 15), ("37", 15), ("6011", 16), ("65", 16),
                                   ("3056", 14), ("36", 14), ("3530", 16), ("62", 16),
                                   ("2200", 16)))  # fmt: skip
    number = _completed(chance, start, length, check_digits.passes_luhn)
    sizes = {15: (4, 6, 5), 14: (4, 6, 4), 13: (4, 4, 5)}.get(length, (4, 4, 4, 4))
    return None, _grouped(number, sizes, chance.choice((" ", "-", "", "", ".", "\u00a0")))


def _iban(chance: random.Random) -> tuple[str | None, str]:
    country, account = chance.choice((
        ("DE", "d" * 18), ("GB", "AAAA" + "d" * 14), ("FR", "d" * 10 + "XXXXXXXXXXX" + "dd"),
        ("NL", "AAAA" + "d" * 10), ("ES", "d" * 20), ("IT", "A" + "d" * 10 + "X" * 12),
        ("BE", "d" * 12), ("AT", "d" * 16), ("CH", "d" * 5 + "X" * 12), ("PL", "d" * 24),
        ("NO", "d" * 11), ("SE", "d" * 20), ("PT", "d" * 21), ("MT", "AAAA" + "d" * 5 + "X" * 18),
        ("SA", "dd" + "X" * 18), ("TR", "d" * 22), ("RO", "AAAA" + "X" * 16), ("UA", "d" * 25),
    ))  # fmt: skip
    pools = {"d": string.digits, "A": string.ascii_uppercase}
    rest = "".join(chance.choice(pools.get(each, string.digits + "ABC")) for each in account)
    number = next(
        whole
        for check in range(2, 99)
        if check_digits.passes_iban(whole := f"{country}{check:02}{rest}")
    )
    if chance.random() < 0.15:
        number = number.lower()
    return None, _grouped(number, (4,) * 9, chance.choice((" ", "", "", "-")))


def _ssn(chance: random.Random) -> tuple[str | None, str]:
    area = chance.choice([each for each in range(1, 900) if each != 666])
    number = f"{area:03}{chance.randint(1, 99):02}{chance.randint(1, 9999):04}"
    gap = chance.choice(("-", "-", " ", "", "."))
    said = None if gap else chance.choice(("my SSN is ", "social security number: "))
    return said, _grouped(number, (3, 2, 4), gap)


def _national(chance: random.Random) -> tuple[str | None, str]:
    said, shape, passes = chance.choice(_NATIONAL)
    while True:
        value = "".join(_signs(chance, sign) for sign in shape)
        if passes("".join(each for each in value if each.isalnum())):
            return said, value


def _signs(chance: random.Random, sign: str) -> str:
    pools = {"9": string.digits, "8": "23456789", "A": string.ascii_uppercase, "M": "ABCDEHLMPRST",
             "N": "ABCEGHJKLMNPRSTWXY", "D": "ABCD", "Y": "XYZ"}  # fmt: skip
    dates = {"m": f"{chance.randint(1, 12):02}", "t": f"{chance.randint(1, 28):02}",
             "s": chance.choice("12"), "y": f"{chance.randint(30, 99):02}"}  # fmt: skip
    return dates[sign] if sign in dates else chance.choice(pools.get(sign, sign))


def _ip(chance: random.Random) -> tuple[str | None, str]:
    if chance.random() < 0.7:
        return None, ".".join(str(chance.randint(1, 254)) for _ in range(4))
    groups = [f"{chance.randrange(1, 65536):x}" for _ in range(8)]
    return None, chance.choice((":".join(groups), ":".join(groups[:3]) + "::" + groups[4]))


def _birth(chance: random.Random) -> tuple[str | None, str]:
    year, month, day = chance.randint(1930, 2010), chance.randint(1, 12), chance.randint(1, 28)
    dots, short = f"{day:02}.{month:02}.{year}", f"{month:02}/{day:02}/{year % 100:02}"
    name = chance.choice(("January", "Feb", "March", "Aug", "October", "Dec"))
    return None, chance.choice((f"{year}-{month:02}-{day:02}", f"{day}/{month}/{year}",
                                short, dots,
                                f"{day} {name} {year}", f"{name} {day}, {year}",
                                f"{day}th of {name} {year}"))  # fmt: skip


def _passport(chance: random.Random) -> tuple[str | None, str]:
    shape = chance.choice(("999999999", "A9999999", "A99999999", "AA9999999", "A9A99A999"))
    return None, "".join(_signs(chance, sign) for sign in shape)


def _phone(chance: random.Random) -> tuple[str | None, str]:
    said, shape = chance.choice(_PHONES)
    value = "".join(chance.choice("23456789") if sign == "N" else chance.choice(string.digits)
                    if sign == "#" else sign for sign in shape)  # fmt: skip
    return said, value


def _completed(
    chance: random.Random, start: str, length: int, passes: Callable[[str], bool]
) -> str:
    rest = "".join(chance.choice(string.digits) for _ in range(length - len(start) - 1))
    return next(whole for last in string.digits if passes(whole := start + rest + last))


def _grouped(number: str, sizes: Sequence[int], gap: str) -> str:
    groups, at = [], 0
    for size in sizes:
        groups.append(number[at : at + size])
        at += size
    return gap.join(each for each in [*groups, number[at:]] if each)


_IN_JSON, _AT_THE_END = 0.15, 0.6
_NAMES = ("anna", "o'neil", "jörg", "li", "mohammed", "smith", "garcia", "x", "kowalska")
_PHONES: tuple[tuple[str | None, str], ...] = (
    *((None, each) for each in (
        "(N0N) N55-####", "N0N-N55-####", "N0N.N55.####", "N0N N55 ####", "1-8NN-N55-####",
        "+1 N0N N55 ####", "+1-N0N-N55-####", "+1 (N0N) N55-####", "+1N0NN55####",
        "+44 20 7946 0###", "+44 (0)20 7946 0###", "+44791112####", "07911 12####", "020 7946 0###",
        "+49 171 234####", "+49 (0)30 9018209", "0171/234####", "0171 234####", "0049 171 234####",
        "06 12 34 ## ##", "06.12.34.##.##", "+33 6 12 34 ## ##", "+3361234####",
        "612 349 ###", "+34 612 349 ###", "98765 4####", "+91 98765 4####", "+91-987654####",
        "0412 349 ###", "+61 412 349 ###", "06-1234####", "+31 6 1234####", "(11) 91234-####",
        "+55 11 91234-####", "090-1234-####", "+81 90-1234-####", "+86 138 0013 ####",
        "+7 912 349-##-##", "8 (912) 349-##-##", "+351 912 349 ###", "+41 79 234 ## ##",
        "079 234 ## ##", "+48 512 349 ###", "+353 85 234 ####", "+971 50 234 ####",
    )),
    *((said, each) for said in (
        "call me at ", "my phone number is ", "Mobile: ", "Tel. ", "text me on ", "WhatsApp ",
        "you can reach me at ", '"phone": "', "cell ", "my new number is ",
    ) for each in ("N0NN55####", "0791112####", "N55-####", "061234####", "987654####")),
)  # fmt: skip
_NATIONAL: tuple[tuple[str | None, str, Callable[[str], bool]], ...] = (
    (None, "99999999A", check_digits.passes_spanish),
    (None, "Y9999999A", check_digits.passes_spanish),
    (None, "Y-9999999-A", check_digits.passes_spanish),
    (None, "AAAAAAyMtA999A", check_digits.passes_italian),
    (None, "NN 99 99 99 D", lambda value: value[:2] not in {"GB", "NK"}),
    (None, "NN999999D", lambda value: value[:2] not in {"GB", "NK"}),
    (None, "999.999.999-99", check_digits.passes_brazilian),
    (None, "s y m 99 999 999 99", check_digits.passes_french),
    (None, "tmy-999A", check_digits.passes_finnish),
    (None, "ymt-9999", check_digits.passes_luhn),
    (None, "8999 9999 9999", check_digits.passes_verhoeff),
    ("my SIN is ", "899 999 999", check_digits.passes_luhn),
    ("BSN ", "999999999", check_digits.passes_dutch),
    ("PESEL: ", "ymt99999", check_digits.passes_polish),
    ("Steuer-ID ", "89 999 999 999", check_digits.passes_german),
    ("Aadhaar ", "899999999999", check_digits.passes_verhoeff),
    ("CPF ", "99999999999", check_digits.passes_brazilian),
)
_LEADS = {
    Kind.EMAIL: ("", "my email is ", "write to ", "mailto:", "E-Mail: ", "it went to "),
    Kind.IBAN: ("", "IBAN: ", "my account is ", "pay it to ", "IBAN "),
    Kind.CARD_NUMBER: ("", "my card number is ", "card ", "the card was ", "Visa: ", "pay with "),
    Kind.SSN: ("", "my SSN is ", "SSN: "),
    Kind.NATIONAL_ID: ("", "my ID is ", "ID: "),
    Kind.IP_ADDRESS: ("", "I log in from ", "IP: ", "the server ", "from "),
    Kind.BIRTH_DATE: ("born on ", "my date of birth is ", "DOB: ", "dob ", "my birthday is ",
                      "date of birth: ", "geboren am "),
    Kind.PASSPORT: ("passport number ", "my passport is ", "Passport No: ", "passport no. ",
                    "Reisepass ", "passport: "),
    Kind.PHONE: ("", "call me: ", "my number is ", "phone: ", "or ", "it is "),
}  # fmt: skip
_VALUES: dict[Kind, Callable[[random.Random], tuple[str | None, str]]] = {
    Kind.EMAIL: _email,
    Kind.IBAN: _iban,
    Kind.CARD_NUMBER: _card,
    Kind.SSN: _ssn,
    Kind.NATIONAL_ID: _national,
    Kind.IP_ADDRESS: _ip,
    Kind.BIRTH_DATE: _birth,
    Kind.PASSPORT: _passport,
    Kind.PHONE: _phone,
}

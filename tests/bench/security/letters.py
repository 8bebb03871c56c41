"""Mails, notices and records as businesses write them, made up around customers' sentences."""

import json
import random
from collections.abc import Sequence

_FIRST = ("Anna", "Luis", "Mei", "Omar", "Priya", "Tom", "Zoé", "Ivan", "Grace", "Yuki", "Noah")
_LAST = ("Berg", "Costa", "Diaz", "Evans", "Fischer", "Gupta", "Haddad", "Ito", "Novak", "Okoye")
_FIRMS = ("Northwind", "Bluebird Travel", "Acme Inc.", "Kestrel Bank", "Lumen Cloud", "PAPERWORKS",
          "Harbor & Sons", "QUICKSHIP LTD", "Fern Studio", "MERIDIAN.COM")  # fmt: skip
_PLACES = ("12 Mill Lane, Leeds", "88 N Avondale Rd #603", "Hauptstr. 5, Berlin", "Suite 400")
_SUBJECTS = ("Your receipt from {firm}", "{firm}: your order has shipped", "Invoice {number}",
             "Your card has been charged {money} by {firm}", "{name} sent you {money}",
             "Payment of {money} received", "Re: ticket {number}", "Your {firm} statement is ready",
             "{firm} product update", "Please confirm your booking {number}")  # fmt: skip
_NOTICES = (
    "Your debit card ending in {last} was charged {money} by {firm}.",
    "The settled amount may differ from this charge and will be withdrawn from account {last}.",
    "If you have any questions, just reply to this email or contact our support team.",
    "If you did not make this transaction, you can raise a dispute in the app.",
    "Your order {number} was shipped on {date} and should arrive within 3 days.",
    "Invoice {number} of {money} is due on {date}. Thank you for your business!",
    "You received a credit of {money}. The money is in your checking account {last}.",
    "Thanks for reading. You can change which messages you receive in your settings.",
    "Total {money}, tax {money}, paid with Visa {last} on {date}.",
    "We have updated our terms of service; they apply from {date} on.",
    "Here is a summary of what we agreed on {date}: the price is {money} a month.",
)
_HEADS = (
    "SUBJECT: {subject}|EMAIL_FROM: {firm} <{mail}>|RECEIVED DATE: {date}|CONTENT: ",
    "From: {name} <{mail}>\nTo: {other}\nDate: {date}\nSubject: {subject}\n\n",
    "Subject: {subject}\n\n",
    "FROM: {firm} <{mail}> RECEIVED: {date} BODY: ",
    "",
)
_ENDINGS = ("Best,\n{name}", "Kind regards,\n{name}\n{firm}", "The {firm} team", "{firm}, {place}",
            "Sent from {firm}\n{place}\n\nUnsubscribe", "", "Thanks, {name}")  # fmt: skip
_DETAILS = (
    "https://app.{mail}/settings?tab=billing&id={number} shows a blank page",
    "curl -H 'Authorization: Bearer {last}' https://api.example.com/v1/users returns 401",
    'Traceback:\n  File "app.py", line {last}, in run\nValueError: {number}',
    "ERROR {date} connection refused: upstream timed out after 30s",
    "1. log in\n2. click Billing\n3. nothing happens",
    "SELECT id, total FROM invoices WHERE id = '{number}' gives no rows",
    "{date} > {name} wrote:",
    "😀👍", "😡😡", "🙏 thanks!!", "👨‍👩‍👧 ❤️", "- {money} for {date}\n- {money} for {date}",
)  # fmt: skip
_KEYS = ("credit_card", "paypal", "gift_card", "order", "shipment", "invoice", "seat", "plan")
_PAGES = (
    "<html><body><p>{text}</p></body></html>",
    '<div style="color:#333;font-size:14px">{text}</div><br/><a href="https://{mail}/x">View</a>',
    "<!--[if mso]><table><tr><td><![endif]-->{text}<!--[if mso]></td></tr></table><![endif]-->",
    '<input type="hidden" name="token" value="{last}"><p class="footer">{text}</p>',
    "<table><tr><td><b>{number}</b></td><td>{money}</td></tr></table>{text}",
)
_STATES = ("delivered", "pending", "processed", "cancelled", "paid", "open", "refunded")


def make_letter(chance: random.Random, sentences: Sequence[str]) -> str:
    """A mail or a tool's record."""
    return chance.choice((_mail, _mail, _page, _report, _record, _record))(chance, sentences)


def _mail(chance: random.Random, sentences: Sequence[str]) -> str:
    body = chance.sample(_NOTICES, chance.randint(0, 3)) + [
        chance.choice(sentences).replace("{", "(").replace("}", ")")
        for _ in range(chance.randint(1, 3))
    ]
    chance.shuffle(body)
    greeting = chance.choice(("Hi {other}, ", "Dear {other},\n\n", "Hello,\n", ""))
    gap = chance.choice((" ", "\n", "\n\n"))
    head = chance.choice(_HEADS) + greeting
    return _fill(chance, head + gap.join([*body, chance.choice(_ENDINGS)]))


def _page(chance: random.Random, sentences: Sequence[str]) -> str:
    return _fill(chance, chance.choice(_PAGES)).replace("{text}", _mail(chance, sentences))


def _report(chance: random.Random, sentences: Sequence[str]) -> str:
    """A customer's message with what he copied beside it."""
    parts = [chance.choice(sentences), _fill(chance, chance.choice(_DETAILS))]
    return chance.choice((" ", "\n", "\n\n")).join(chance.sample(parts, 2))


def _record(chance: random.Random, sentences: Sequence[str]) -> str:
    fields = {
        "id": _fill(chance, "{number}"),
        "status": chance.choice(_STATES),
        f"{chance.choice(_KEYS)}_{chance.randrange(10**7)}": {
            "source": chance.choice(_KEYS),
            "brand": chance.choice(("visa", "mastercard", None)),
            "last_four": str(chance.randrange(1000, 9999)),
            "available": chance.random() < 0.5,
        },
        "name": {"first_name": chance.choice(_FIRST), "last_name": chance.choice(_LAST)},
        "amount": round(chance.uniform(1, 900), 2),
        "address": chance.choice(_PLACES),
        "created_at": _fill(chance, "{date}"),
        "items": [{"item_id": str(chance.randrange(10**9)), "options": {"color": "blue"}}],
        "email": _fill(chance, "{mail}"),
        "orders": [f"#W{chance.randrange(10**7)}" for _ in range(chance.randint(0, 3))],
        "note": chance.choice(sentences),
    }
    chosen = chance.sample(sorted(fields), chance.randint(3, len(fields)))
    return json.dumps({key: fields[key] for key in chosen}, indent=chance.choice((None, 2)))


def _fill(chance: random.Random, text: str) -> str:
    name = f"{chance.choice(_FIRST)} {chance.choice(_LAST)}"
    values = {
        "firm": chance.choice(_FIRMS),
        "number": chance.choice(("INV-", "#W", "", "ord_")) + str(chance.randrange(10**6)),
        "money": chance.choice("$€£") + f"{chance.uniform(1, 9999):,.2f}",
        "last": chance.choice(("••", "*", "")) + str(chance.randrange(1000, 9999)),
        "date": _date(chance),
        "name": name,
        "other": chance.choice(_FIRST),
        "mail": f"{chance.choice(('hello', 'noreply', 'billing'))}@{chance.choice(_LAST)}.com",
        "place": chance.choice(_PLACES),
        "text": "{text}",
    }
    values["subject"] = chance.choice(_SUBJECTS).format(**values)
    return text.format(**values)


def _date(chance: random.Random) -> str:
    year, month, day = chance.randint(2019, 2027), chance.randint(1, 12), chance.randint(1, 28)
    clock = f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}"
    return chance.choice(
        (
            f"{year}-{month:02}-{day:02}",
            f"Tue, {day:02} Feb {year} {clock} +0000 (UTC)",
            f"{day}/{month}/{year}",
            f"{year}-{month:02}-{day:02}T{clock}Z",
        )
    )

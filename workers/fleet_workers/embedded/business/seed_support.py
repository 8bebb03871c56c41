"""What support knows: the state of the services, open and past incidents, and the help articles."""

from collections.abc import Iterator
from typing import Any, Final

# The columns: tenant, name, status, note.
_SERVICES: Final = (
    ("acme", "web app", "operational", ""),
    ("acme", "sign-in", "operational", "Back to normal since 2026-06-10 (inc_6002)."),
    ("acme", "api", "operational", ""),
    ("acme", "exports", "degraded", "Exports take up to two hours (inc_6001)."),
    ("acme", "imports", "operational", ""),
    ("acme", "email notifications", "operational", ""),
    ("acme", "webhooks", "operational", ""),
    ("globex", "web app", "operational", ""),
    ("globex", "sign-in", "operational", ""),
    ("globex", "api", "degraded", "One request in ten answers 503 (inc_6502)."),
    ("globex", "exports", "operational", ""),
    ("globex", "imports", "operational", ""),
    ("globex", "email notifications", "outage", "No e-mails are sent (inc_6501)."),
    ("globex", "webhooks", "operational", ""),
)

# The columns: id, tenant, customer (None: everybody), service, title, description, severity,
# status, day.
_INCIDENTS: Final = (
    (
        "inc_6001",
        "acme",
        None,
        "exports",
        "Exports are slow",
        "Exports queue for up to two hours. A fix is being rolled out.",
        "minor",
        "open",
        "2026-06-14",
    ),
    (
        "inc_6002",
        "acme",
        None,
        "sign-in",
        "Sign-in failed for some users",
        "Sign-in failed between 08:10 and 09:40 UTC. Solved; no data was lost.",
        "major",
        "resolved",
        "2026-06-10",
    ),
    (
        "inc_6003",
        "acme",
        "cus_acme_12",
        "sign-in",
        "Two people locked out at Kim Legal",
        "david@kimlegal.example and susan@kimlegal.example are locked after wrong passwords.",
        "minor",
        "open",
        "2026-06-15",
    ),
    (
        "inc_6501",
        "globex",
        None,
        "email notifications",
        "E-mails are not delivered",
        "The mail provider is down. Invitations and notifications wait and will be sent later.",
        "major",
        "open",
        "2026-06-15",
    ),
    (
        "inc_6502",
        "globex",
        None,
        "api",
        "API answers 503 now and then",
        "About one request in ten fails. Repeat the request; the team is working on it.",
        "minor",
        "open",
        "2026-06-13",
    ),
    (
        "inc_6503",
        "globex",
        None,
        "exports",
        "Exports were empty",
        "Exports of 2026-05-27 were empty. Solved on the same day.",
        "minor",
        "resolved",
        "2026-05-27",
    ),
)

# The columns: number, title, body, tags.
_ARTICLES: Final = (
    (
        1,
        "Reset a forgotten password",
        (
            "On the sign-in page choose 'Forgot password' and enter your e-mail. The link is "
            "good for 30 minutes. After five wrong passwords an account is locked; a reset "
            "unlocks it."
        ),
        "password login sign-in locked forgot reset unlock",
    ),
    (
        2,
        "Set up two-factor authentication",
        (
            "Open Profile, Security, Two-factor. Scan the code with an authenticator app and "
            "keep the ten recovery codes. A lost phone: sign in with a recovery code, or ask "
            "support for a reset."
        ),
        "2fa two-factor authenticator phone code mfa security",
    ),
    (
        3,
        "Export your data",
        (
            "Open Settings, Export and choose CSV or JSON. You get a link by e-mail, good for "
            "seven days. Owners and admins may export."
        ),
        "export download backup csv json data",
    ),
    (
        4,
        "Import from CSV, Excel, Trello or Asana",
        (
            "Open Settings, Import. CSV files must be UTF-8 with dates as YYYY-MM-DD. A "
            "failed import says which row is wrong; mend it and start again, rows that are "
            "done are skipped."
        ),
        "import csv excel trello asana upload migrate failed row",
    ),
    (
        5,
        "Why a workspace is suspended",
        (
            "A workspace is suspended when invoices are overdue for 30 days, or on a security "
            "hold. Nothing is deleted. It opens again when the invoices are paid or the hold "
            "is lifted."
        ),
        "suspended blocked locked workspace overdue read-only",
    ),
    (
        6,
        "Storage limits",
        (
            "Each plan has a storage limit. When it is reached uploads fail with 'storage "
            "full'. Delete files, empty the bin (kept for 30 days), or choose a larger plan."
        ),
        "storage full quota upload limit space disk",
    ),
    (
        7,
        "API tokens and rate limits",
        (
            "Tokens are made under Settings, API, and end after 12 months; calls then answer "
            "401. The limit is 100 requests a minute; above it calls answer 429."
        ),
        "api token expired 401 429 rate limit integration key",
    ),
    (
        8,
        "Webhooks",
        (
            "Webhooks are sent up to six times in an hour. After 20 failures in a row the "
            "webhook is switched off; mend the receiver and switch it on under Settings, "
            "Webhooks."
        ),
        "webhook callback integration failed delivery retry",
    ),
    (
        9,
        "Browsers and the mobile app",
        (
            "The last two versions of Chrome, Firefox, Safari and Edge work. If a page stays "
            "white or is slow, clear the cache and switch off extensions; the mobile app "
            "needs iOS 16 or Android 11."
        ),
        "browser slow white page blank cache mobile app crash ios android",
    ),
    (
        10,
        "Invite people and give them roles",
        (
            "Open Members, Invite. Members work, admins also invite and set up, the owner "
            "also pays. An invitation is good for seven days and can be sent again."
        ),
        "invite member team role admin owner colleague invitation",
    ),
    (
        11,
        "E-mail notifications",
        (
            "Open Profile, Notifications. If nothing arrives look into the spam folder and "
            "let our address through. Digests are sent at 08:00 in your time zone."
        ),
        "email notification mail spam digest not arriving",
    ),
    (
        12,
        "Single sign-on",
        (
            "Single sign-on with SAML or OpenID Connect is part of the larger plans. Open "
            "Settings, Security, Single sign-on and enter your provider's metadata address."
        ),
        "sso saml okta azure single sign-on openid",
    ),
)


def support_rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give (table name, row) for services, incidents and help articles."""
    for tenant, name, status, note in _SERVICES:
        yield "services", {"tenant": tenant, "name": name, "status": status, "note": note}
    keys = (
        "id",
        "tenant",
        "customer",
        "service",
        "title",
        "description",
        "severity",
        "status",
        "opened_on",
    )
    for incident in _INCIDENTS:
        yield "incidents", dict(zip(keys, incident, strict=True))
    for tenant, first in (("acme", 100), ("globex", 200)):
        for number, title, body, tags in _ARTICLES:
            row = {"id": f"art_{first + number}", "tenant": tenant}
            yield "help_articles", {**row, "title": title, "body": body, "tags": tags}

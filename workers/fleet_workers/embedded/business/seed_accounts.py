"""Who the customers of the two tenants are: names, plans and the day they came."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of a tenant; the price is in cents for one `period` (month or year)."""

    tenant: str
    id: str
    name: str
    price_cents: int
    period: str
    seats: int
    storage_gb: int


@dataclass(frozen=True, slots=True)
class Account:
    """A customer. `plan` is None for somebody who has signed up but bought nothing yet."""

    tenant: str
    number: int
    name: str
    company: str
    email: str
    since: str
    plan: str | None
    status: str = "active"

    @property
    def id(self) -> str:
        """The customer's id, such as cus_acme_01."""
        return f"cus_{self.tenant}_{self.number:02d}"


PLANS: Final = (
    Plan("acme", "free", "Free", 0, "month", 2, 1),
    Plan("acme", "starter", "Starter", 19_00, "month", 5, 10),
    Plan("acme", "team", "Team", 49_00, "month", 15, 50),
    Plan("acme", "business", "Business", 149_00, "month", 50, 250),
    Plan("acme", "team_yearly", "Team, yearly", 490_00, "year", 15, 50),
    Plan("acme", "business_yearly", "Business, yearly", 1490_00, "year", 50, 250),
    Plan("globex", "basic", "Basic", 12_00, "month", 3, 5),
    Plan("globex", "plus", "Plus", 39_00, "month", 10, 40),
    Plan("globex", "pro", "Pro", 99_00, "month", 40, 200),
    Plan("globex", "pro_yearly", "Pro, yearly", 990_00, "year", 40, 200),
    Plan("globex", "enterprise", "Enterprise", 399_00, "month", 200, 1000),
)

ACCOUNTS: Final = tuple(
    Account("acme", *row)
    for row in (
        (1, "Maria Keller", "Keller Design", "maria@kellerdesign.example", "2024-03-12", "team"),
        (
            2,
            "James Okafor",
            "Okafor Logistics",
            "james@okafor.example",
            "2023-11-02",
            "business",
            "past_due",
        ),
        (
            3,
            "Lena Fischer",
            "Fischer & Söhne",
            "lena@fischer-soehne.example",
            "2025-01-20",
            "starter",
            "past_due",
        ),
        (4, "Tom Becker", "Becker Studio", "tom@beckerstudio.example", "2024-08-05", "team"),
        (
            5,
            "Aiko Tanaka",
            "Tanaka Robotics",
            "aiko@tanaka-robotics.example",
            "2024-01-10",
            "business_yearly",
        ),
        (6, "Carlos Mendes", "Mendes Imports", "carlos@mendes.example", "2025-05-17", "starter"),
        (7, "Priya Nair", "Nair Analytics", "priya@nair.example", "2024-10-28", "team", "past_due"),
        (
            8,
            "Sam Whitfield",
            "Whitfield Gardens",
            "sam@whitfield.example",
            "2026-06-04",
            "starter",
            "trialing",
        ),
        (9, "Olga Petrova", "Petrova Travel", "olga@petrovatravel.example", "2025-02-14", "team"),
        (
            10,
            "Ben Adeyemi",
            "Adeyemi Foods",
            "ben@adeyemifoods.example",
            "2024-12-01",
            "starter",
            "cancelled",
        ),
        (
            11,
            "Chloé Martin",
            "Martin Éditions",
            "chloe@martin-editions.example",
            "2025-06-03",
            "team_yearly",
        ),
        (12, "David Kim", "Kim Legal", "david@kimlegal.example", "2023-06-19", "business"),
        (13, "Fatima Zahra", "Zahra Ceramics", "fatima@zahra.example", "2026-06-12", None),
        (14, "Greta Lindqvist", "Lindqvist Bygg", "greta@lindqvist.example", "2025-03-30", "team"),
        (15, "Hassan Ali", "Ali Photo", "hassan@aliphoto.example", "2025-07-08", "starter"),
        (16, "Ivy Chen", "Chen Capital", "ivy@chencapital.example", "2024-04-22", "business"),
        (17, "Jonas Weber", "Weber Sport", "jonas@webersport.example", "2026-05-20", "team"),
        (18, "Kate O'Brien", "O'Brien Events", "kate@obrienevents.example", "2025-09-15", "team"),
    )
) + tuple(
    Account("globex", *row)
    for row in (
        (1, "Robert Hale", "Hale Motors", "robert@halemotors.example", "2024-02-09", "plus"),
        (
            2,
            "Nadia Rahman",
            "Rahman Textiles",
            "nadia@rahman.example",
            "2023-12-11",
            "pro",
            "past_due",
        ),
        (
            3,
            "Pedro Alvarez",
            "Alvarez Vinos",
            "pedro@alvarezvinos.example",
            "2025-04-25",
            "basic",
            "past_due",
        ),
        (4, "Sofia Rossi", "Rossi Architetti", "sofia@rossi.example", "2024-02-01", "pro_yearly"),
        (5, "Liam Murphy", "Murphy Brewing", "liam@murphybrewing.example", "2024-09-13", "plus"),
        (6, "Mei Ling Wong", "Wong Shipping", "meiling@wongshipping.example", "2024-05-06", "pro"),
        (7, "Ahmed Hassan", "Hassan Media", "ahmed@hassanmedia.example", "2025-08-21", "plus"),
        (
            8,
            "Emma Novak",
            "Novak Yoga",
            "emma@novakyoga.example",
            "2026-06-02",
            "basic",
            "trialing",
        ),
        (
            9,
            "Victor Dubois",
            "Dubois Pharma",
            "victor@duboispharma.example",
            "2022-10-03",
            "enterprise",
        ),
        (
            10,
            "Zanele Mokoena",
            "Mokoena Farms",
            "zanele@mokoena.example",
            "2025-01-07",
            "plus",
            "cancelled",
        ),
        (11, "Oscar Nilsson", "Nilsson Skog", "oscar@nilsson.example", "2025-10-10", "basic"),
        (12, "Hana Suzuki", "Suzuki Tea", "hana@suzukitea.example", "2026-06-13", None),
        (
            13,
            "Paul Schneider",
            "Schneider Optik",
            "paul@schneideroptik.example",
            "2026-04-29",
            "pro",
        ),
        (14, "Irina Volkova", "Volkova Dance", "irina@volkova.example", "2025-02-27", "plus"),
        (15, "Diego Torres", "Torres Fotos", "diego@torresfotos.example", "2025-06-16", "basic"),
        (16, "Grace Liu", "Liu Education", "grace@liueducation.example", "2024-07-01", "pro"),
    )
)

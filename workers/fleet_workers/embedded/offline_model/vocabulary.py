"""General English that the offline model knows: word lists, and nothing about any business."""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS: Final = _words(
    "a about above actually after again all already also although always am an and another any "
    "anymore anyone anything are around as at away be because been before being both but by can "
    "cannot cant could couldnt currently dear did didnt do does doesnt doing done dont during each "
    "either else even ever every everything few for from further get gets getting give go goes "
    "going gone good got guys had has hasnt have havent having he hello her here hers hey hi him "
    "his hope how however i if im in into is isnt it its ive just keep kind kindly know let like "
    "lol look lot make many may maybe me might more most much must my myself need needs never "
    "nice no nobody none nor not nothing now of off ok okay on once one only onto or other our "
    "ours out over own per perhaps please quite rather really regards right said same say see seem "
    "shall she should since so some somebody somehow someone something soon sorry still such sure "
    "take tell than thank thanks that thats the their them then there these they thing things "
    "think this those though through thus to too told took totally tried try trying two until up "
    "upon us very via want wanted wants was wasnt way we well went were what whatever when where "
    "whether which while who whole whom whose why will wish with within without wont would yes yet "
    "you your yours yourself able anyway asap best bit cheers day days est etc hour hours id kinda "
    "literally mine minute minutes oh onwards time today tomorrow tonight week weeks yesterday"
)
"""Words that say nothing about what is wanted. Written without apostrophes."""

FUNCTION_WORDS: Final = _words(
    "a about am an and any are at be been but by can could did do does for from had has have how i "
    "if im in is it its just me my no not of on or our please so that the there they this to us "
    "was we were what when where which who why will with would you your"
)
"""The words by which English is known as English."""

FOREIGN_WORDS: Final = _words(
    "ich und der die das nicht ist mein meine meinen bitte wie kann ein eine einen fur mit auf "
    "wir habe hallo wurde je le la les une mon mes est pas pour vous dans sur bonjour nous que qui "
    "avec ma el los mi por para una como puedo hola quiero es del en con mis sus il che di non per "
    "sono come voglio ciao mio mia o os uma nao meu minha quero ola eu het ik een niet van mijn "
    "jag och att det min inte nie jest moje prosze jak czy bana benim nasil icin bir ve"
)
"""Frequent words of other languages, accents folded."""

ABBREVIATIONS: Final = {
    "acct": "account",
    "addr": "address",
    "asap": "soon",
    "cancell": "cancel",
    "docs": "documentation",
    "im": "i am",
    "inv": "invoice",
    "info": "information",
    "msg": "message",
    "passwd": "password",
    "pleas": "please",
    "pleese": "please",
    "plese": "please",
    "pls": "please",
    "plz": "please",
    "pw": "password",
    "pwd": "password",
    "sub": "subscription",
    "subs": "subscription",
    "thx": "thanks",
    "tmrw": "tomorrow",
    "u": "you",
    "ur": "your",
    "wanna": "want to",
}

PHRASES: Final = (
    (r"\b(?:my |the |our )?money back\b", "refund"),
    (r"\blog(?:ged|ging)?[ -](?:in(?:to)?|on)\b", "login"),
    (r"\bsign(?:ed|ing)?[ -](?:in(?:to)?|on)\b", "login"),
    (r"\bsign(?:ed|ing)?[ -]up\b", "register"),
    (r"\bset(?:ting)?[ -]up\b", "setup"),
    (r"\blook(?:ing)?[ -]up\b", "lookup"),
    (r"\be-mail", "email"),
    (r"\bget(?:ting)? rid of\b", "remove"),
    (r"\bgive back\b", "return"),
    (r"\bwhere(?:s| is| are)\b", "track"),
)
"""Several words that mean what one word means: pattern and word."""

IRREGULAR: Final = {
    "paid": "pay",
    "sent": "send",
    "bought": "buy",
    "lost": "lose",
    "forgot": "forget",
    "forgotten": "forget",
    "taken": "take",
    "broke": "break",
    "broken": "break",
    "explanation": "explain",
    "subscription": "subscribe",
    "subscriptions": "subscribe",
    "people": "person",
    "children": "child",
    "changed": "change",
    "failure": "fail",
    "delivery": "deliver",
    "deliveries": "deliver",
    "arrival": "arrive",
    "renewal": "renew",
    "removal": "remove",
    "access": "access",
    "address": "address",
    "process": "process",
    "addresses": "address",
    "status": "status",
    "diagnosis": "diagnose",
    "diagnostics": "diagnose",
}

SYNONYMS: Final = tuple(
    group.split()
    for group in (
        "cancel end terminate stop quit",
        "bill invoice statement receipt",
        "charge fee debit deduct bill",
        "refund reimburse repay repayment",
        "pay payment purchase buy",
        "break outage fail error issue problem fault bug crash down unavailable incident",
        "fail break wrong diagnose troubleshoot investigate",
        "login password credential access passcode",
        "invite add join",
        "member colleague teammate user person coworker employee team",
        "book schedule reserve arrange appointment slot",
        "session meeting call appointment",
        "change update switch modify edit upgrade downgrade move alter adjust",
        "plan subscribe tier package membership",
        "create start new open register setup",
        "delete remove erase close",
        "price cost",
        "amount sum total",
        "help guide article documentation manual instruction",
        "status state progress",
        "import upload migrate load bring",
        "discount credit voucher coupon compensate",
        "ship deliver arrive",
        "order purchase",
        "explain understand mean",
        "ticket case incident",
        "workspace space project",
        "restore recover reset unlock",
        "extend renew prolong",
        "borrow loan lend",
        "move transfer send",
        "history past previous",
    )
)

READ_VERBS: Final = _words(
    "calculate check compare count describe diagnose download estimate explain fetch find get "
    "inform inspect list look lookup preview query read retrieve search see show status summarise "
    "summarize tell track validate verify view"
)
WEAK_VERBS: Final = _words(
    "check fetch find get inspect list look lookup query read retrieve see show view do perform"
)
"""Verbs in a tool's name that do not tell it from other tools."""

WRITE_VERBS: Final = _words(
    "activate add adjust apply approve archive assign block book buy cancel change charge close "
    "create credit deactivate delete disable downgrade edit enable end erase escalate exchange "
    "extend freeze grant import invite issue join lock make merge migrate modify move open order "
    "pause pay place post publish put rebook reboot refund register reject release remove rename "
    "renew replace report reschedule reserve reset resend restart restore resume return revoke "
    "rotate schedule send set setup ship start stop submit suspend switch terminate transfer "
    "trigger unblock undo unlock unsubscribe update upgrade upload withdraw write"
)

VAGUE_WORDS: Final = _words(
    "work working fix help broken wrong question problem issue trouble need assistance support bad "
    "fail failing urgent thing"
)
"""Words of a message that says that help is wanted, not with what."""

NUMBER_WORDS: Final = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ]
    )
}
MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

"""English words by what they do to a request's meaning; all other words count as its subject."""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


EMPTY: Final = _words(
    """
    a an the this that these those there here it its
    i me my mine myself we us our ours you your yours u ur im ive id
    i'd i'm i've i'll it's that's there's you're what's how's here's let's
    am is are was were be been being do does did doing done have has had having
    will would shall should can could may might must
    please pls plz hi hello hey dear thanks thank thx ok okay well just really actually so very
    quite too also simply kindly sorry
    want wants wanted wanna need needs needed like love wish hope try trying tried going gonna
    help helping helps assist assisting assistance support give giving show showing tell telling
    explain let get getting got look looking see seeing find finding make making know knowing
    able possible way ways wonder wondering ask asking question questions information info detail
    details step steps process
    how what about of for at by as and or but because if whether since then to in on from into
    with any some something anything somebody someone could
    damn bloody goddamn freaking fucking fuck shit
    """
)
"""Words that say nothing of what is wanted, or only how it is asked for."""

NEGATIONS: Final = _words(
    """
    no not never none nothing nobody nowhere without cannot cant can't dont don't doesnt doesn't
    didnt didn't isnt isn't arent aren't wasnt wasn't werent weren't wont won't wouldnt wouldn't
    couldnt couldn't shouldnt shouldn't hasnt hasn't havent haven't hadnt hadn't aint ain't
    neither nor unable except unless instead hardly barely rarely seldom
    """
)

TELLING: Final = _words(
    """
    when where why who whom whose which much many long often far soon
    he him his she her hers they them their theirs
    wife husband son daughter mother father friend partner boss colleague
    all every each both only another other others same again already still yet anymore half twice
    one two three four five six seven eight nine ten eleven twelve dozen hundred thousand million
    first second third last next previous latest
    today tonight tomorrow yesterday now later
    monday tuesday wednesday thursday friday saturday sunday
    january february march april june july august september october november december
    day days week weeks month months year years hour hours minute minutes
    daily weekly monthly quarterly yearly annual annually
    dollar dollars usd euro euros eur pound pounds gbp sterling cent cents yen
    up down more less fewer higher lower high low early late before after until
    old new domestic international abroad foreign local
    """
)
"""Words of which one more or less, or another, makes another request."""

OPPOSITES: Final = _words(
    """
    activate deactivate reactivate enable disable open close reopen add remove delete erase
    create increase decrease raise reduce upgrade downgrade subscribe unsubscribe block unblock
    freeze unfreeze lock unlock buy sell send receive deposit withdraw credit debit pay refund
    start begin stop end pause resume accept reject decline refuse approve deny allow forbid
    join leave connect disconnect link unlink install uninstall verify lend borrow import export
    cancel uncancel renew expire register unregister enter exit
    virtual physical disposable personal business single joint
    available unavailable valid invalid correct incorrect lost found stolen broken
    avoid undo revert restore keep skip
    minimum maximum cheap expensive free paid public private active inactive
    sign-in sign-up signin signup login logout log-in log-out
    """
)
"""Deeds and states whose opposite, or the lack of them, makes another request."""

DIRECTIONS: Final = {
    "from": "away",
    "out": "away",
    "off": "away",
    "to": "towards",
    "into": "towards",
    "onto": "towards",
    "in": "towards",
    "before": "earlier",
    "until": "earlier",
    "after": "later",
    "since": "later",
    "with": "with",
    "without": "lacking",
    "over": "over",
    "above": "over",
    "under": "under",
    "below": "under",
}
"""What stands before a word, and which way it points."""

CONTRARY: Final = frozenset(
    frozenset(each)
    for each in (
        ("away", "towards"),
        ("earlier", "later"),
        ("with", "lacking"),
        ("over", "under"),
    )
)

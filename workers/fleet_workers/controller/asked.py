"""Says for whom a plan is asked for, so that equal questions can be asked once."""

from dataclasses import replace
from hashlib import sha256

from fleet_contracts.envelope import AUTO_AGENT, Priority, TaskEnvelope
from fleet_workers.controller.conversation import Conversation, about_text, user_text
from fleet_workers.controller.situation import Situation, is_suspicious
from fleet_workers.models.asked_for import AskedFor, BatchRules, CacheRules
from fleet_workers.rails.personal_data import Masker

_REQUEST_ALONE = 2  # the instructions, and the customer's words


def asked_by_agent(situation: Situation, conversation: Conversation) -> AskedFor:
    """An agent's next plan, as `conversation` asks for it.

    It is a first one where that holds the instructions and the request alone: also for a larger
    model in place of a smaller one that had found nothing yet.
    """
    release, masker = situation.release, conversation.masker
    about = about_text(situation.envelope.customer)
    return _asked_for(
        situation.envelope,
        agent=release.name,
        release=release.id,
        text=conversation.words,
        about=masker.mask(about),
        batching=release.manifest.batching.rules(),
        caching=release.manifest.cache.rules(),
        is_first=len(conversation.messages) == _REQUEST_ALONE,
        flagged=is_suspicious(situation.steps),
        writes=frozenset(tool.name for tool in release.tools if tool.effect == "write"),
        outward=frozenset(tool.name for tool in release.tools if tool.open_world),
    )


def asked_by_triage(envelope: TaskEnvelope, head: str, text: str, *, flagged: bool) -> AskedFor:
    """The choice of an agent; its release is what the model is told of all agents."""
    digest = sha256(head.encode()).hexdigest()[:10]
    return _asked_for(
        envelope,
        agent=AUTO_AGENT,
        release=f"{AUTO_AGENT}@{digest}",
        text=text,
        is_first=True,
        flagged=flagged,
        writes=frozenset(),
    )


def _asked_for(
    envelope: TaskEnvelope,
    *,
    agent: str,
    release: str,
    text: str,
    is_first: bool,
    flagged: bool,
    writes: frozenset[str],
    outward: frozenset[str] = frozenset(),
    about: str = "",
    batching: BatchRules | None = None,
    caching: CacheRules | None = None,
) -> AskedFor:
    raw = f"{about_text(envelope.customer)}\n{user_text(envelope)}"
    return AskedFor(
        task_id=str(envelope.id),
        tenant=envelope.tenant,
        agent=agent,
        release=release,
        customer=envelope.customer,
        priority=str(envelope.priority),
        text=text,
        is_first=is_first,
        flagged=flagged,
        writes=writes,
        outward=outward,
        about=about,
        personal=Masker().mask(raw) != raw,
        batching=_rules(batching or BatchRules(), envelope),
        caching=caching or CacheRules(),
    )


def _rules(rules: BatchRules, envelope: TaskEnvelope) -> BatchRules:
    """Only what has time, and what no later task of its session waits for, may take a day."""
    patient = envelope.priority == Priority.BULK and envelope.deadline is None
    return replace(rules, bulk=rules.bulk and patient and envelope.session_id is None)

"""Which steps of a journal are audited, and the part of a statement that writes their entries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet_workers.store.audit import AuditKind, digest
from fleet_workers.store.journal_rows import PendingSteps, Step, StepKind
from fleet_workers.store.json_text import json_text

_VERDICTS = {
    StepKind.GATE: AuditKind.GATE,
    StepKind.OUTBOUND: AuditKind.GATE,
    StepKind.CONFIDENCE: AuditKind.GATE,
    StepKind.REVIEW: AuditKind.REVIEW,
}
_KEPT = ("plan", "call", "policy", "release", "review", "arguments_sha256")
"""What an entry takes over from a step as it is: references and words of the code, no texts."""
_REASONS = ("reason", "reasons", "text")
"""What may speak of a customer: an entry holds its digest, the journal the words."""
_ENDS = {"value": "done", "in_doubt": "in doubt", "error": "failed"}
_CODE_LIMIT = 100

# Stands after a CTE `fence` (id, tenant, traceparent of the task), and `added` and `finished` that
# give the numbers of the steps that were written just now: a repeat of a statement whose answer was
# lost writes no entry twice.
AUDIT_CTE = """
audited AS (
    INSERT INTO audit_inbox (kind, who, what, why, tenant, task_id, trace, detail)
    SELECT u.kind, CAST(:u_who AS text), u.what, u.why, fence.tenant, fence.id,
        fence.traceparent, CAST(u.detail AS jsonb)
    FROM fence, unnest(
        CAST(:u_seq AS integer[]), CAST(:u_ends AS boolean[]), CAST(:u_kind AS text[]),
        CAST(:u_what AS text[]), CAST(:u_why AS text[]), CAST(:u_detail AS text[])
    ) AS u(seq, ends, kind, what, why, detail)
    WHERE CASE WHEN u.ends THEN u.seq IN (SELECT seq FROM finished)
        ELSE u.seq IN (SELECT seq FROM added) END
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _StepEntry:
    """An entry about a step. `ends` tells that it is about a step that stood as started."""

    seq: int
    ends: bool
    kind: AuditKind
    what: str
    why: str
    detail: Mapping[str, Any]


def parameters_of(agent: str, pending: PendingSteps) -> dict[str, Any]:
    """The parameters of `AUDIT_CTE` for steps of `agent`; none where no entry is to be written.

    Entries are gate verdicts, reviews, and the begin and end of every write.
    """
    entries = [_ended(step) for step in pending.finished if _is_write(step)]
    for step in pending.added:
        if _is_write(step):
            entries.append(_begun(step, "begun"))
        elif step.kind in _VERDICTS:
            entries.append(_verdict(step))
    return _parameters(agent, entries) if entries else {}


def parameters_again(agent: str, step: Step, how: str) -> dict[str, Any]:
    """The parameters for a started step that is taken up again; `how` says in which way."""
    return _parameters(agent, [_begun(step, how)] if _is_write(step) else [])


def parameters_at_end(agent: str, step: Step) -> dict[str, Any]:
    """The parameters for a write whose result came when its task had ended."""
    return _parameters(agent, [_ended(step)])


def _parameters(agent: str, entries: Sequence[_StepEntry]) -> dict[str, Any]:
    return {
        "u_who": f"agent:{agent}",
        "u_seq": [each.seq for each in entries],
        "u_ends": [each.ends for each in entries],
        "u_kind": [each.kind for each in entries],
        "u_what": [each.what for each in entries],
        "u_why": [each.why for each in entries],
        "u_detail": [json_text(each.detail) for each in entries],
    }


def _is_write(step: Step) -> bool:
    return step.kind is StepKind.TOOL and step.request.get("effect") == "write"


def _begun(step: Step, how: str) -> _StepEntry:
    detail = _kept(step.seq, step.request)
    detail["arguments_sha256"] = digest(step.request.get("arguments"))
    if isinstance(key := step.request.get("key"), str):
        detail["key"] = key
    return _StepEntry(
        seq=step.seq,
        ends=False,
        kind=AuditKind.EFFECT,
        what=f"{step.name} {how}",
        why=_code(step.request),
        detail=detail,
    )


def _ended(step: Step) -> _StepEntry:
    result = step.result or {}
    how = next((said for name, said in _ENDS.items() if name in result), "done")
    return _StepEntry(
        seq=step.seq,
        ends=True,
        kind=AuditKind.EFFECT,
        what=f"{step.name} {how}",
        why=_code(result),
        detail={**_kept(step.seq, step.request), "result_sha256": digest(result)},
    )


def _verdict(step: Step) -> _StepEntry:
    result = step.result or {}
    ruling = result.get("ruling") or result.get("state")
    detail = _kept(step.seq, result)
    if isinstance(score := result.get("score"), int | float):
        detail["score"] = str(score)
    return _StepEntry(
        seq=step.seq,
        ends=False,
        kind=_VERDICTS[step.kind],
        what=f"{step.name} {ruling}" if isinstance(ruling, str) else step.name,
        why=_code(result),
        detail=detail,
    )


def _kept(seq: int, content: Mapping[str, Any]) -> dict[str, Any]:
    detail: dict[str, Any] = {"step": seq}
    detail |= {name: content[name] for name in _KEPT if isinstance(content.get(name), str | int)}
    for name in _REASONS:
        if content.get(name):
            detail[f"{name}_sha256"] = digest(content[name])
    return detail


def _code(content: Mapping[str, Any]) -> str:
    """The code's own short word for a reason: the only reason of a step that an entry holds."""
    code = content.get("code")
    return code[:_CODE_LIMIT] if isinstance(code, str) else ""

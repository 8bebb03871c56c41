"""Metrics of models: what was asked, spent and saved today (UTC), and which are not served."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """Sums of a day over all tenants, in numbers, tokens and US dollars."""

    agent: str
    model: str
    tier: str
    source: str
    calls: float
    input_tokens: float
    cached_tokens: float
    output_tokens: float
    unpriced: float
    cost_usd: float
    saved_usd: float
    saved_by_tier_usd: float


_ALIKE = ("agent", "model", "tier", "source")
_PER_DAY = {
    "calls": "Replies of models, or what stood in for one, today (UTC), in number.",
    "unpriced": "Replies of unknown cost today (UTC), in number.",
    "cost_usd": "What model calls cost today (UTC), in US dollars.",
    "saved_usd": "What stored and shared replies saved today (UTC), in US dollars.",
    "saved_by_tier_usd": "What smaller tiers saved today (UTC), in US dollars.",
}
_TOKENS = ("input", "cached", "output")


def model_metrics(
    figures: Sequence[ModelFigures], unserved: Sequence[str]
) -> Iterable[GaugeMetricFamily]:
    """The metrics. `unserved` are models whose endpoint refuses our key or does not have them."""
    for name, words in _PER_DAY.items():
        family = GaugeMetricFamily(f"fleet_model_{name}_today", words, labels=_ALIKE)
        for each in figures:
            family.add_metric(_labels(each), getattr(each, name))
        yield family
    tokens = GaugeMetricFamily(
        "fleet_model_tokens_today",
        "Tokens today (UTC), in number; `cached` are those of `input` from a prefix cache.",
        labels=(*_ALIKE, "kind"),
    )
    for each in figures:
        for kind in _TOKENS:
            tokens.add_metric([*_labels(each), kind], getattr(each, f"{kind}_tokens"))
    yield tokens
    missing = GaugeMetricFamily(
        "fleet_model_unserved",
        "1 for each model whose endpoint refuses the key or does not have it.",
        labels=["model"],
    )
    for model in unserved:
        missing.add_metric([model], 1)
    yield missing


def _labels(figures: ModelFigures) -> list[str]:
    return [getattr(figures, name) for name in _ALIKE]

"""What a benchmark says: one figure a line, `name: value unit`."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value. `unit` names what it counts, or which two things a ratio compares."""

    name: str
    value: float
    unit: str

    def line(self) -> str:
        """The figure with as many digits as say something."""
        digits = 0 if abs(self.value) >= 100 else 1 if abs(self.value) >= 10 else 2
        return f"{self.name}: {self.value:.{digits}f} {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something that a reader of the figures must know, as a part that could not be measured."""

    text: str

    def line(self) -> str:
        """The remark, told apart from figures by its mark."""
        return f"# {self.text}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]


def spread(name: str, seconds: Sequence[float], *shares: float) -> list[Figure]:
    """Percentiles of durations in milliseconds, as `name_p50` and so on."""
    return [
        Figure(
            name=f"{name}_p{share * 100:.0f}",
            value=percentile(seconds, share) * 1000,
            unit="ms",
        )
        for share in shares
    ]


Said = Figure | Remark

"""Small plots of evidence as inline SVG, readable in light and dark and described in words for screen readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any

from refimpl.report.markup import Markup, join, tag
from refimpl.report.words import short

Record = Mapping[str, Any]
Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 340, 170
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 22, 34


@dataclass(frozen=True)
class Axis:
    """Maps values in [low, high] to pixels [start, end]; on a log axis low and high are exponents of 10."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value, kept inside the axis."""
        position = log10(max(value, 1e-300)) if self.log else value
        share = (position - self.low) / ((self.high - self.low) or 1.0)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """A few round values."""
        if self.log:
            decades = max(1, ceil((self.high - self.low) / 4))
            return [10.0**e for e in range(ceil(self.low), floor(self.high) + 1, decades)]
        step = _round_step((self.high - self.low) / 4)
        return [step * i for i in range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1)]


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... (times a power of ten) that is at least ``least``."""
    if least <= 0:
        return 1.0
    power = 10.0 ** floor(log10(least))
    return next(power * n for n in (1, 2, 5, 10, 20) if power * n >= least)


def plot(record: Record) -> Markup | None:
    """The plot that fits the evidence: a fitted rate, a precision ladder, or lhs / rhs (residuals) by case."""
    if len(record["points"]) > 1:
        return _rate(record)
    if len(record["ladder"]) > 1:
        return _ladder(record)
    if len(record["trace"]) > 3 and record["relation"] != "exact":
        return _trace(record)
    return None


def _rate(record: Record) -> Markup:
    points = [(float(h), float(e)) for h, e in record["points"]]
    x = log_axis([h for h, _ in points], LEFT, WIDTH - RIGHT)
    y = log_axis([e for _, e in points], HEIGHT - BOTTOM, TOP)
    line = " ".join(f"{x.at(h):.1f},{y.at(e):.1f}" for h, e in sorted(points))
    marks = join(tag("polyline", points=line, class_="line"), *(_dot(x.at(h), y.at(e)) for h, e in points))
    caption = f"Error against step size on log axes, {record['note'] or 'rate'}"
    return figure(caption, x, y, "h", "error", marks)


def _ladder(record: Record) -> Markup:
    rungs = {name: float(value) for name, value in record["ladder"].items()}
    tolerance = float(record["tolerance"])
    y = log_axis([tolerance, *(max(v, 0.01) for v in rungs.values())], HEIGHT - BOTTOM, TOP)
    x = Axis(0, len(rungs), LEFT, WIDTH - RIGHT)
    bars = [_bar(x, y, i, value, name) for i, (name, value) in enumerate(rungs.items())]
    limit = _level(y.at(tolerance), f"k = {short(tolerance)}")
    said = ", ".join(f"{name} {short(value)}" for name, value in rungs.items())
    caption = f"Largest error in eps by precision: {said}; tolerance {short(tolerance)}"
    return figure(caption, None, y, "", "eps", join(*bars, limit))


def _trace(record: Record) -> Markup:
    values = [float(v) for v in record["trace"]]
    finite = [v for v in values if isfinite(v)] or [0.0]
    ratio = record["sharpness"] is not None
    limit = 1.0 if ratio else float(record["tolerance"])
    x = Axis(0, len(values), LEFT, WIDTH - RIGHT)
    high = max(limit, min(max(finite), 4 * limit))
    y = Axis(min(0.0, max(min(finite), -high)), high * 1.05, HEIGHT - BOTTOM, TOP)
    dots = [_dot(x.at(i + 0.5), y.at(v if isfinite(v) else high)) for i, v in enumerate(values)]
    name = "lhs / rhs" if ratio else "residual / eps"
    caption = f"{name} of {len(values)} cases in the order of the search; "
    caption += f"largest {short(max(finite))}, limit {short(limit)}"
    return figure(caption, x, y, "case", name, join(*dots, _level(y.at(limit), short(limit))))


def log_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """A log axis that holds all positive values, on whole decades."""
    exponents = [log10(v) for v in values if v > 0 and isfinite(v)] or [0.0]
    low, high = floor(min(exponents)), ceil(max(exponents))
    return Axis(low, max(high, low + 1), start, end, log=True)


def figure(caption: str, x: Axis | None, y: Axis, x_name: str, y_name: str, marks: Markup) -> Markup:
    """Axes around the marks; the caption is also the text that a screen reader says."""
    parts = [tag("title", caption), _frame(), *_y_ticks(y), *(_x_ticks(x) if x else ()), marks]
    parts += [tag("text", x_name, x=str(WIDTH - RIGHT), y=str(HEIGHT - 4), text_anchor="end", class_="name")]
    parts += [tag("text", y_name, x=str(LEFT), y="12", class_="name")]
    svg = tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=caption, class_="plot")
    return tag("figure", svg, tag("figcaption", caption))


def _frame() -> Markup:
    path = f"M{LEFT},{TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"
    return tag("path", d=path, class_="frame")


def _y_ticks(axis: Axis) -> list[Markup]:
    return [
        tag("text", short(value), x=str(LEFT - 5), y=f"{axis.at(value) + 3:.1f}", text_anchor="end")
        for value in axis.ticks()
    ]


def _x_ticks(axis: Axis) -> list[Markup]:
    return [
        tag("text", short(value), x=f"{axis.at(value):.1f}", y=str(HEIGHT - BOTTOM + 14), text_anchor="middle")
        for value in axis.ticks()
    ]


def _dot(x: float, y: float) -> Markup:
    return tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="2.5", class_="dot")


def _bar(x: Axis, y: Axis, index: int, value: float, name: str) -> Markup:
    left, right, top = x.at(index + 0.25), x.at(index + 0.75), y.at(max(value, 0.01))
    height = max(HEIGHT - BOTTOM - top, 1.0)
    box = tag(
        "rect", x=f"{left:.1f}", y=f"{top:.1f}", width=f"{right - left:.1f}", height=f"{height:.1f}", class_="bar"
    )
    label = tag("text", name, x=f"{(left + right) / 2:.1f}", y=str(HEIGHT - BOTTOM + 14), text_anchor="middle")
    return join(box, label)


def _level(y: float, name: str) -> Markup:
    line = tag("line", x1=str(LEFT), x2=str(WIDTH - RIGHT), y1=f"{y:.1f}", y2=f"{y:.1f}", class_="limit")
    label = tag("text", name, x=str(WIDTH - RIGHT), y=f"{y - 3:.1f}", text_anchor="end", class_="limit-name")
    return join(line, label)

"""Lines against size, both axes logarithmic, as an SVG that needs no library."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from math import ceil, floor, log10
from typing import Any, Final

_WIDTH, _HEIGHT, _LEFT, _BELOW, _RIGHT = 760, 420, 70, 50, 150
_COLOURS: Final = ("#0b6e99", "#c4541b", "#3a7d34", "#7a4b9d", "#a08000", "#555555")


def svg(points: Iterable[dict[str, Any]], unit: str) -> str:
    """A drawing of points with `line`, `x` and `y`."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        place = (log10(point["x"]), log10(max(point["y"], 1e-4)))
        lines.setdefault(point["line"], []).append(place)
    every = [place for line in lines.values() for place in line]
    left, right = floor(min(x for x, _ in every)), ceil(max(x for x, _ in every))
    low, high = floor(min(y for _, y in every)), ceil(max(y for _, y in every))

    def across(x: float) -> float:
        return _LEFT + (x - left) / (right - left or 1) * (_WIDTH - _LEFT - _RIGHT)

    def up(y: float) -> float:
        return _HEIGHT - _BELOW - (y - low) / (high - low or 1) * (_HEIGHT - _BELOW - 20)

    parts = [_grid(across(x), up(low), across(x), up(high)) for x in range(left, right + 1)]
    parts += [_grid(across(left), up(y), across(right), up(y)) for y in range(low, high + 1)]
    for x in range(left, right + 1):
        parts.append(_text(across(x), _HEIGHT - 28, f"{10**x:,}", "middle"))
    for y in range(low, high + 1):
        parts.append(_text(_LEFT - 8, up(y) + 4, f"{10.0**y:g}", "end"))
    parts.append(_text(across((left + right) / 2), _HEIGHT - 8, "jobs", "middle"))
    parts.append(_text(8, 14, unit, "start"))
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(_WIDTH - _RIGHT + 12, 40 + 20 * number, name, "start", colour))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    back = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'{head} font-family="sans-serif" font-size="12">', back, *parts, "</svg>\n"])


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"

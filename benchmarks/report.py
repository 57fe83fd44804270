"""`docs/performance.md` and its plots, from the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Answer, spread
from benchmarks.plot import svg

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "performance.md"
_HEAD: Final = """# How fast it is

Made by `python -m benchmarks report`; do not edit. Figures are medians of interleaved rounds in one
run on one machine, with their lowest and highest. **Trust the ratios**; absolute figures only place
them. `standard` durability, every feature on and output stored, unless a row says otherwise. Anyone
can repeat it: `python -m benchmarks run` (half an hour; `--quick` takes minutes and proves little),
then `python -m benchmarks report`.

"""


def write(data: dict[str, Any], notes: str) -> None:
    """Write the page; `notes` is what people learned, kept by hand beside the questions."""
    parts = [_HEAD, "| machine | |\n|---|---|\n"]
    parts += [f"| {name} | {value} |\n" for name, value in data["machine"].items()]
    if data["quick"]:
        parts.append("\n**A quick run: too few rounds to rely on.**\n")
    for name, answers in data["answers"].items():
        for number, raw in enumerate(answers):
            parts += section(Answer(**raw), f"performance-{name}-{number}.svg")
    PAGE.write_text("".join([*parts, "\n", notes]), encoding="utf-8")


def section(answer: Answer, picture: str | None = None) -> list[str]:
    """One question: its table, what was skipped, its text; its plot if it has a name."""
    beside = f" ratio to {answer.base} |" if answer.base else ""
    parts = [f"\n## {answer.title}\n\n| | {answer.unit} |{beside} goal |\n"]
    parts.append(f"|---|---|{'---|' if answer.base else ''}---|\n")
    for name, values in answer.figures.items():
        ratio = ""
        if answer.base:
            ratios = answer.ratios(name)
            ratio = f" {_figures(ratios)} |" if ratios else " |"
        parts.append(f"| {name} | {_figures(values)} |{ratio} {answer.goals.get(name, '')} |\n")
    parts += [f"| {name} | not run: {why} |\n" for name, why in answer.skipped.items()]
    if answer.text:
        parts.append(f"\n{answer.text}\n")
    if answer.plot and picture:
        (PAGE.parent / picture).write_text(svg(answer.plot, answer.unit), encoding="utf-8")
        parts.append(f"\n![{answer.title}]({picture})\n")
    return parts


def _figures(values: list[float]) -> str:
    middle, low, high = spread(values)
    if len(values) == 1:
        return _number(middle)
    return f"{_number(middle)} ({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

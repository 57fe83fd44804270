"""`python -m benchmarks run [NAME…] [--json FILE] [--quick]` and `python -m benchmarks report`."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks import report
from benchmarks.harness import Answer, Bench
from benchmarks.machine import description

HERE: Final = Path(__file__).parent
KEPT: Final = HERE / "answers.json"
NOTES: Final = HERE / "notes.md"
QUESTIONS: Final = ("runners", "steps", "storing", "parts", "sizes", "waiting", "screens")


def main() -> int:
    """Ask, or write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="ask these questions, or all")
    run.add_argument("names", nargs="*", metavar="NAME", help=", ".join(QUESTIONS))
    run.add_argument("--json", type=Path, default=KEPT, help="where the answers are kept")
    run.add_argument("--quick", action="store_true", help="few rounds, little work")
    run.add_argument("--directory", type=Path, help="where databases are made; not in memory")
    page = verbs.add_parser("report", help="write docs/performance.md")
    page.add_argument("--json", type=Path, default=KEPT)
    asked = parser.parse_args()
    if asked.verb == "report":
        notes = NOTES.read_text(encoding="utf-8") if NOTES.exists() else ""
        report.write(json.loads(asked.json.read_text(encoding="utf-8")), notes)
        return 0
    if unknown := [name for name in asked.names if name not in QUESTIONS]:
        parser.error(f"no question {unknown[0]}; there are {', '.join(QUESTIONS)}")
    _run(asked.names or QUESTIONS, asked.json, quick=asked.quick, directory=asked.directory)
    return 0


def _run(names: tuple[str, ...], kept: Path, *, quick: bool, directory: Path | None) -> None:
    """Questions that were not asked now keep the answers that they had."""
    for package in ("queuectl_engine", "queuectl_tui"):  # what starts has been started before
        compileall.compile_dir(HERE.parent / package, quiet=1)
    # Or pools would be of the program that is installed, which may be another one.
    os.environ["PYTHONPATH"] = str(HERE.parent)
    data: dict[str, Any] = {"answers": {}}
    if kept.exists():
        data = json.loads(kept.read_text(encoding="utf-8"))
    with TemporaryDirectory(dir=directory or Path.home()) as scratch:
        bench = Bench(quick, Path(scratch))
        data |= {"machine": description(bench.root), "quick": quick}
        for name in names:
            sys.stderr.write(f"{name}\n")
            answers: list[Answer] = import_module(f"benchmarks.questions.{name}").ask(bench)
            data["answers"][name] = [asdict(answer) for answer in answers]
            kept.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
            for answer in answers:
                sys.stdout.write("".join(report.section(answer)))


if __name__ == "__main__":
    sys.exit(main())

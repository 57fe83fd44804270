"""Make the pictures that README shows: the real screen on a real queue, with a pool that runs.

`python -m screenshots.make` writes an SVG for each, and a PNG beside it when Chromium is found. The
programs that its jobs call are props, so that they fail and work as long as a picture needs.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from queuectl_engine import Database, Engine, JobState, open_engine
from queuectl_tui.app import queue_app

HERE: Final = Path(__file__).parent
WORKERS: Final = 4
FONT: Final = "'DejaVu Sans Mono', Menlo, Consolas, monospace"

PROPS: Final = {
    "curl": """
        echo "  % Total    % Received % Xferd  Average Speed" >&2
        echo "curl: (22) The requested URL returned error: 503" >&2
        exit 22
    """,
    "rsync": """
        echo "sending incremental file list"
        echo "rsync: connection unexpectedly closed (0 bytes received so far) [sender]" >&2
        exit 12
    """,
    "ffmpeg": """
        echo "Stream #0:0: Video: h264, yuv420p, 1920x1080, 25 fps"
        frame=0
        while :; do
            frame=$((frame + 25))
            echo "frame=$frame fps=25 q=28.0 size=$((frame * 3))kB speed=1x"
            sleep 1
        done
    """,
    "report": """
        echo "reading 3 tables"
        echo "wrote report.pdf, 14 pages"
    """,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A file name, the size of the terminal, the keys before it is taken, what must be on it."""

    name: str
    columns: int
    lines: int
    keys: tuple[str, ...]
    shows: str


PICTURES: Final = (
    Picture("tables", 140, 30, ("2",), "frame=75 "),
    Picture("causes", 80, 24, ("F", "r"), "requeue 4 "),
)


def main() -> int:
    """Make every picture; the exit code."""
    home = Path(tempfile.mkdtemp(prefix="queuectl-pictures-"))
    try:
        with stage(home) as engine:
            try:
                play(engine)
                for picture in PICTURES:
                    svg = asyncio.run(taken(picture, engine.database))
                    written(picture.name, svg)
            finally:
                engine.stop_pool(now=True, timeout=30)
    finally:
        shutil.rmtree(home)
    return 0


def stage(home: Path) -> Engine:
    """A home with the props in its PATH, and an empty queue."""
    programs = home / "bin"
    programs.mkdir()
    for name, script in PROPS.items():
        program = programs / name
        program.write_text("#!/bin/sh\n" + script)
        program.chmod(0o755)
    (home / "app").mkdir()
    os.environ["HOME"] = str(home)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    os.chdir(home / "app")
    return open_engine(home / "app" / "jobs.db", create=True)


def play(engine: Engine) -> None:
    """Some jobs die, some complete, some run, many wait."""
    for number in range(91, 95):
        url = f"https://hooks.example/notify?id={number}"
        engine.add(f"curl -fsS {url}", queue="mail", max_retries=1, key=f"hook-{number}")
    engine.add("rsync -a ~/photos backup.example:/srv/photos", max_retries=0)
    for month in ("08", "09", "10"):
        engine.add(f"report --month 2026-{month}", queue="reports")
    engine.add("rsync -a ~/mail backup.example:/srv/mail", max_retries=8, key="mirror")
    engine.start_pool(workers=WORKERS)
    until(engine, lambda count: count(JobState.DEAD) == 5 and count(JobState.COMPLETED) == 3)
    until(engine, lambda count: engine.get("mirror").attempts == 3 and count(JobState.FAILED) == 1)
    for name in ("harbour", "storm", "lighthouse", "ferry", "dunes", "regatta", "fog", "pier"):
        engine.add(
            f"ffmpeg -i {name}.mov -vf scale=1280:720 -c:v libx264 {name}.mp4",
            queue="video",
            priority=5,
            timeout=timedelta(hours=1),
        )
    for number in range(95, 107):
        engine.add(f"curl -fsS https://hooks.example/notify?id={number}", queue="mail")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    engine.add("tar -czf ~/backup.tgz ~/app", key="nightly", run_at=tomorrow)
    engine.add("report --month 2026-11", queue="reports", run_at=tomorrow + timedelta(days=6))
    until(engine, lambda count: count(JobState.PROCESSING) == WORKERS)


def until(engine: Engine, condition: Callable[[Callable[[JobState], int]], bool]) -> None:
    """Wait until the counts are as wanted."""
    deadline = time.monotonic() + 60
    while not condition(engine.counts().of):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the queue stands at {engine.counts().outward()}")
        time.sleep(0.1)


async def taken(picture: Picture, database: Database) -> str:
    """The screen as SVG, once it shows what it should."""
    app = queue_app(database)
    async with app.run_test(size=(picture.columns, picture.lines)) as pilot:
        await pilot.pause(1.0)
        await pilot.press(*picture.keys)
        deadline = time.monotonic() + 20
        while picture.shows not in plain(svg := app.export_screenshot(simplify=True)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{picture.name} does not show {picture.shows!r}")
            await pilot.pause(0.2)
        return with_local_font(svg)


def plain(svg: str) -> str:
    """The text of a picture."""
    return re.sub(r"<[^>]*>", "", svg).replace("&#160;", " ")


def with_local_font(svg: str) -> str:
    """Without the fonts that a viewer would have to fetch."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"font-family: Fira Code, monospace", f"font-family: {FONT}", svg)


def written(name: str, svg: str) -> None:
    """Keep the picture as SVG, and as PNG when Chromium can draw it."""
    vector, bitmap = HERE / f"{name}.svg", HERE / f"{name}.png"
    vector.write_text(svg, encoding="utf-8")
    print(vector)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert box is not None
    width, height = (round(float(side)) for side in box.groups())
    subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--default-background-color=00000000",
            f"--window-size={width},{height}",
            f"--screenshot={bitmap}",
            vector.as_uri(),
        ],
        check=True,
        capture_output=True,
    )
    print(bitmap)


if __name__ == "__main__":
    sys.exit(main())

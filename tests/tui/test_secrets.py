"""Secrets on the screen: their names are typed in the form and shown in the detail, no value is."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl_engine import BadInput, open_engine
from queuectl_tui import job_form
from queuectl_tui.job_form import Form
from tests.samples import CONTEXT, NOON
from tests.tui.driven import driving
from tests.tui.fake import FakeQueue, waiting


async def test_names_are_typed_and_shown() -> None:
    async with driving(FakeQueue()) as tui:
        await tui.press("a")
        await tui.type("deploy")
        await tui.press(*["tab"] * 10)
        await tui.type("TOKEN, API_KEY")
        await tui.press("enter")
        await tui.press("enter")
        assert "secrets   TOKEN, API_KEY" in tui.text


async def test_a_job_without_secrets_has_no_line_of_them() -> None:
    async with driving(FakeQueue(waiting(1))) as tui:
        await tui.press("enter")
        assert "secrets" not in tui.text


async def test_names_from_a_foreign_database_are_harmless_and_cut() -> None:
    queue = FakeQueue(waiting(1))
    queue.contexts[1] = CONTEXT._replace(secrets=("\x1b[2J", *(f"S{n}" for n in range(50))))
    async with driving(queue, 80, 24) as tui:
        await tui.press("enter")
        assert "secrets   \u241b[2J, S0, S1," in tui.text
        assert "S49" not in tui.text


def test_a_job_of_the_form_carries_the_names_alone(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        form = Form("deploy", secrets="TOKEN, API_KEY, TOKEN")
        job_form.add(form, [form.command], NOON)(engine)
        assert engine.context_of(engine.get(1)).secrets == ("API_KEY", "TOKEN")

        with pytest.raises(BadInput, match="must be 1 to 100 letters"):
            job_form.add(Form("x", secrets="MY TOKEN"), ["x"], NOON)(engine)

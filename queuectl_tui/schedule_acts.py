"""What a person does to schedules: each deed is a function of an engine, run off the loop."""

from __future__ import annotations

from queuectl_engine import Engine, Schedule, safe_text
from queuectl_tui.acts import Told
from queuectl_tui.hands import Deed


def set_paused(schedule: Schedule, *, paused: bool) -> Deed[Told]:
    """Let it add no more jobs, or go on."""

    def deed(engine: Engine) -> Told:
        (engine.pause_schedule if paused else engine.resume_schedule)(schedule.id)
        verb = "pause" if paused else "resume"
        return Told(f"schedule {safe_text(schedule.title)} {verb}d", _line(verb, schedule))

    return deed


def run_now(schedule: Schedule) -> Deed[Told]:
    """Add its job besides its times."""

    def deed(engine: Engine) -> Told:
        job = engine.run_schedule(schedule.id)
        return Told(f"added job {job.id}", _line("run-now", schedule), job=job.id)

    return deed


def delete(schedule: Schedule) -> Deed[Told]:
    """Forget it; its jobs stay."""

    def deed(engine: Engine) -> Told:
        engine.delete_schedule(schedule.id)
        return Told(f"schedule {safe_text(schedule.title)} deleted", _line("delete", schedule))

    return deed


def _line(verb: str, schedule: Schedule) -> str:
    return f"queuectl schedule {verb} {safe_text(schedule.title)}"

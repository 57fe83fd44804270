"""The state machine and the decisions, over every state, move, ending and budget."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl_engine.errors import BadInput
from queuectl_engine.job import OUTWARD, STORED_AS, JobState, State
from queuectl_engine.lifecycle import (
    CANCELLABLE,
    DELETABLE,
    FINAL,
    MOVES,
    POISON,
    REQUEUEABLE,
    UNDO,
    Backoff,
    Cancelled,
    CancelObeyed,
    Completed,
    Dead,
    Ending,
    Exited,
    ForcedStop,
    GivenBack,
    NotStarted,
    Outcome,
    RetryAt,
    RunAgain,
    Signalled,
    TimedOut,
    WorkerDied,
    if_cancelled,
    outcome_of,
    result_of,
    state_after,
    words,
)
from tests.samples import HOUR, NOON, SECOND, stored

STEADY = Backoff(jitter=lambda: 0.0)

# DESIGN's diagram, written down a second time and by hand: the row moves to the column.
MATRIX = """
             ready scheduled blocked failed processing completed dead cancelled deleted
ready          .       x        x      .        x          .      .       x        x
scheduled      x       .        x      .        .          .      .       x        x
blocked        x       x        .      .        .          .      .       x        x
failed         x       x        .      .        .          .      .       x        x
processing     x       .        .      x        .          x      x       x        .
completed      x       x        .      .        .          .      .       .        x
dead           x       x        .      .        .          .      .       .        x
cancelled      x       x        x      .        .          .      .       .        x
deleted        .       .        .      .        .          .      .       .        .
"""


def matrix() -> dict[tuple[State, State], bool]:
    head, *rows = MATRIX.strip().splitlines()
    columns = [State(name) for name in head.split()]
    return {
        (State(row.split()[0]), column): mark == "x"
        for row in rows
        for column, mark in zip(columns, row.split()[1:], strict=True)
    }


@pytest.mark.parametrize(("move", "allowed"), matrix().items(), ids=str)
def test_every_move_is_in_the_table_or_forbidden(move: tuple[State, State], allowed: bool) -> None:
    before, after = move
    assert (after in MOVES[before]) is allowed


def test_the_matrix_names_every_pair_of_states() -> None:
    assert len(matrix()) == len(State) ** 2


def test_the_sets_that_people_act_on_follow_from_the_moves() -> None:
    waiting = {State.READY, State.SCHEDULED, State.BLOCKED, State.FAILED}
    ended = {State.COMPLETED, State.DEAD, State.CANCELLED}

    assert ended == FINAL
    assert ended | {State.FAILED} == REQUEUEABLE
    assert waiting | {State.PROCESSING} == CANCELLABLE
    assert waiting | ended == DELETABLE
    assert all(State.READY in MOVES[state] for state in REQUEUEABLE)


def test_undo_takes_back_moves_that_exist_and_never_those_of_a_worker() -> None:
    for state, earlier in UNDO.items():
        assert State.PROCESSING not in earlier
        assert all(state in MOVES[before] for before in earlier)


def test_every_stored_state_but_deleted_shows_as_exactly_one() -> None:
    shown = [state for states in STORED_AS.values() for state in states]
    assert sorted(shown) == sorted(set(State) - {State.DELETED})
    assert set(STORED_AS) == set(JobState)
    assert OUTWARD[State.SCHEDULED] is OUTWARD[State.BLOCKED] is JobState.PENDING


# -- what an ending means

FAILURES = [Exited(1), Exited(255), Signalled(11), TimedOut(timedelta(seconds=5))]


@pytest.mark.parametrize("ending", FAILURES, ids=words)
@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_a_failure_uses_up_one_run_of_max_retries_plus_one(
    ending: Ending, max_retries: int
) -> None:
    outcomes = [
        outcome_of(stored(attempts=n, max_retries=max_retries), ending, STEADY, NOON)
        for n in range(1, max_retries + 2)
    ]

    retries = [
        RetryAt(NOON + timedelta(seconds=2**n), words(ending)) for n in range(1, max_retries + 1)
    ]
    assert outcomes == [*retries, Dead(words(ending))]


@pytest.mark.parametrize(
    ("rules", "ending", "rule"),
    [
        ({"retry_on": (75, 124)}, Exited(75), None),
        ({"retry_on": (75, 124)}, Exited(2), "--retry-on 75,124"),
        ({"no_retry_on": (2,)}, Exited(2), "--no-retry-on 2"),
        ({"no_retry_on": (2,)}, Exited(75), None),
        ({"no_retry_on": tuple(range(64, 79))}, Exited(70), "--no-retry-on 64-78"),
        ({"retry_on": (75,), "no_retry_on": (2,)}, Exited(2), "--no-retry-on 2"),
        ({"retry_on": (75,), "no_retry_on": (2,)}, Exited(3), "--retry-on 75"),
        # A signal is what a shell makes of it: killed itself, or its shell says 137.
        ({"retry_on": (75,)}, Signalled(9), "--retry-on 75"),
        ({"retry_on": (75,)}, Exited(137), "--retry-on 75"),
        ({"retry_on": (75, 137)}, Signalled(9), None),
        ({"retry_on": (75, 137)}, Exited(137), None),
        ({"no_retry_on": (139,)}, Signalled(11), "--no-retry-on 139"),
        ({"no_retry_on": (11,)}, Signalled(11), None),
        # What has no exit code is retried as without rules.
        ({"retry_on": (75,)}, TimedOut(timedelta(seconds=5)), None),
        ({"no_retry_on": (124,)}, TimedOut(timedelta(seconds=5)), None),
    ],
)
def test_an_exit_code_that_is_not_retried_is_the_end_at_once(
    rules: dict[str, tuple[int, ...]], ending: Ending, rule: str | None
) -> None:
    said = words(ending)

    first = outcome_of(stored(**rules), ending, STEADY, NOON)
    last = outcome_of(stored(**rules, max_retries=0), ending, STEADY, NOON)

    if rule is None:
        assert first == RetryAt(NOON + timedelta(seconds=2), said)
        assert last == Dead(said)
    else:
        assert first == last == Dead(f"{said}, which is not retried ({rule})")


def test_rules_about_exit_codes_are_about_nothing_else() -> None:
    rules = {"retry_on": (75,), "no_retry_on": (2,)}
    for ending in (Exited(0), CancelObeyed(), ForcedStop(), NotStarted("EAGAIN")):
        plain = outcome_of(stored(), ending, STEADY, NOON)
        assert outcome_of(stored(**rules), ending, STEADY, NOON) == plain
    for supervised in (False, True):
        lost = outcome_of(stored(**rules), WorkerDied(supervised), STEADY, NOON)
        assert lost == RunAgain("lost: worker died")


@pytest.mark.parametrize("attempts", [1, 4, 99])
def test_exit_0_completes_whatever_was_left_of_the_budget(attempts: int) -> None:
    assert outcome_of(stored(attempts=attempts), Exited(0), STEADY, NOON) == Completed()


@pytest.mark.parametrize("attempts", [1, 4, 99])
@pytest.mark.parametrize("ending", [ForcedStop(), NotStarted("EAGAIN")], ids=words)
def test_what_is_not_the_jobs_fault_gives_it_back(ending: Ending, attempts: int) -> None:
    outcome = outcome_of(stored(attempts=attempts), ending, STEADY, NOON)

    assert outcome == GivenBack(words(ending))


def test_a_cancel_that_was_obeyed_cancels() -> None:
    assert outcome_of(stored(attempts=99), CancelObeyed(), STEADY, NOON) == Cancelled("cancelled")


@pytest.mark.parametrize("supervised", [True, False])
def test_a_lost_attempt_is_charged_and_runs_again_at_once(supervised: bool) -> None:
    lost = WorkerDied(supervised)

    first = outcome_of(stored(attempts=1, max_retries=1), lost, STEADY, NOON)
    last = outcome_of(stored(attempts=2, max_retries=1), lost, STEADY, NOON)

    assert first == RunAgain("lost: worker died")
    assert last == Dead("lost: worker died")


@pytest.mark.parametrize(
    ("deaths", "supervised", "expected"),
    [(0, True, RunAgain), (1, True, RunAgain), (2, True, Dead), (2, False, RunAgain)],
)
def test_the_third_death_under_a_living_supervisor_is_poison(
    deaths: int, supervised: bool, expected: type[Outcome]
) -> None:
    job = stored(attempts=1, max_retries=100, deaths=deaths)

    outcome = outcome_of(job, WorkerDied(supervised), STEADY, NOON)

    assert type(outcome) is expected
    assert POISON == 3
    if isinstance(outcome, Dead):
        assert "poison" in outcome.reason


@pytest.mark.parametrize(
    "outcome",
    [RetryAt(NOON, "exit 1"), RunAgain("lost"), GivenBack("stop"), Dead("exit 1"), Cancelled("c")],
    ids=lambda outcome: type(outcome).__name__,
)
def test_an_asked_cancel_beats_every_outcome_but_success(outcome: Outcome) -> None:
    assert if_cancelled(outcome) == Cancelled("cancelled")
    assert if_cancelled(Completed()) == Completed()


@pytest.mark.parametrize(
    ("ending", "result", "said"),
    [
        (Exited(0), "completed", "exit 0"),
        (Exited(7), "failed", "exit 7"),
        (Signalled(9), "failed", "killed by signal 9"),
        (TimedOut(timedelta(seconds=1.5)), "timed out", "timed out after 1.5 s"),
        (CancelObeyed(), "cancelled", "cancelled"),
        (ForcedStop(), "given back", "given back: its pool had to stop"),
        (NotStarted("too many files"), "not started", "not started: too many files"),
        (WorkerDied(supervised=True), "lost", "lost: worker died"),
    ],
)
def test_each_ending_has_one_word_and_one_reason(ending: Ending, result: str, said: str) -> None:
    assert result_of(ending) == result
    assert words(ending) == said


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Completed(), State.COMPLETED),
        (RetryAt(NOON, ""), State.FAILED),
        (RunAgain(""), State.READY),
        (GivenBack(""), State.READY),
        (Dead(""), State.DEAD),
        (Cancelled(""), State.CANCELLED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_outcome_leads_to_a_move_that_a_running_job_has(
    outcome: Outcome, state: State
) -> None:
    assert state_after(outcome) is state
    assert state in MOVES[State.PROCESSING]


# -- how long a failed job rests


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 2), (2, 4), (5, 32), (11, 2048), (12, 3600)])
def test_the_wait_is_a_power_of_two_up_to_an_hour(attempts: int, seconds: int) -> None:
    assert STEADY.delay(attempts) == timedelta(seconds=seconds)


def test_jitter_lengthens_by_at_most_a_tenth() -> None:
    assert Backoff(jitter=lambda: 0.5).delay(3) == timedelta(seconds=8.4)
    assert Backoff(jitter=lambda: 1.0).delay(99) == timedelta(minutes=66)


def test_the_default_jitter_is_random_and_within_bounds() -> None:
    waits = {Backoff().delay(10) for _ in range(50)}

    assert len(waits) > 1
    assert all(timedelta(seconds=1024) <= wait < timedelta(seconds=1024 * 1.1) for wait in waits)


@pytest.mark.parametrize("base", [1e300, math.inf, 2.0, 1.0000001])
def test_no_base_or_number_of_attempts_overflows(base: float) -> None:
    assert timedelta(seconds=1) <= Backoff(base, jitter=lambda: 0.0).delay(10_000) <= HOUR


def test_a_base_of_1_waits_a_second_each_time() -> None:
    assert [Backoff(1, jitter=lambda: 0.0).delay(n) for n in (1, 50)] == [SECOND, SECOND]


@pytest.mark.parametrize("base", [0.5, 0.0, -2.0, math.nan, -math.inf])
def test_a_base_below_1_is_refused(base: float) -> None:
    with pytest.raises(BadInput, match="backoff base"):
        Backoff(base)


@pytest.mark.parametrize("cap", [timedelta(microseconds=-1), timedelta.max])
def test_a_cap_that_no_date_can_follow_is_refused(cap: timedelta) -> None:
    with pytest.raises(BadInput, match="backoff cap"):
        Backoff(cap=cap)


def test_a_cap_of_0_retries_at_once() -> None:
    assert Backoff(cap=timedelta(0)).delay(7) == timedelta(0)


@given(
    base=st.floats(min_value=1, allow_nan=False),
    cap=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36525)),
    attempts=st.integers(min_value=1, max_value=1_000_001),
    jitter=st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_any_retry_falls_on_a_date_between_now_and_the_cap_and_a_tenth(
    base: float, cap: timedelta, attempts: int, jitter: float
) -> None:
    outcome = outcome_of(
        stored(attempts=attempts, max_retries=1_000_001),
        Exited(1),
        Backoff(base, cap, lambda: jitter),
        NOON,
    )

    assert isinstance(outcome, RetryAt)
    assert NOON <= outcome.at <= NOON + cap * 1.1 + timedelta(microseconds=1)

"""A host that the network cuts off ends its jobs before another one starts them."""

from __future__ import annotations

from pathlib import Path

from queuectl_engine import Engine, JobState
from tests.hosts.conftest import Shared
from tests.hosts.lab import needs_hosts, until_logged
from tests.waiting import until

pytestmark = needs_hosts
LEASE = ("--lease", "5s")


def heartbeat(evidence: Path, stop: Path) -> str:
    """A job that will not listen to SIGTERM, and says again and again that it runs, and where."""
    beat = f'echo "$(hostname) $QUEUECTL_ATTEMPT" >> {evidence}'
    return f'trap "" TERM; while [ ! -e {stop} ]; do {beat}; sleep 0.05; done'


def test_a_host_cut_off_kills_its_job_before_another_starts_it(
    shared: Shared, engine: Engine, tmp_path: Path
) -> None:
    near, far = shared.hosts
    evidence, quick_evidence = tmp_path / "evidence", tmp_path / "quick"
    stop, stop_quick = tmp_path / "stop", tmp_path / "stop-quick"
    job = engine.add(heartbeat(evidence, stop))
    quick = engine.add(heartbeat(quick_evidence, stop_quick))
    shared.start_pool(far, *LEASE, "--grace", "60s", "-n", "2")
    until(lambda: evidence.exists() and quick_evidence.exists())
    shared.start_pool(near, *LEASE, "-n", "2")
    until(lambda: sum(pool.alive is True for pool in engine.pools()) == 2)

    far.cut()
    stop_quick.touch()  # it ends there, and nobody can be told
    until(lambda: f"{near.name} 2" in evidence.read_text(), timeout=40)
    far.heal()
    until(lambda: engine.attempts(quick.id)[0].late, timeout=40)
    until_logged(far, "others took its jobs over")

    beats = evidence.read_text().splitlines()
    moved_at = beats.index(f"{near.name} 2")
    assert set(beats[:moved_at]) == {f"{far.name} 1"}
    assert set(beats[moved_at:]) == {f"{near.name} 2"}, "it ran on both hosts at once"
    assert engine.get(job.id).state is JobState.PROCESSING
    stop.touch()
    until(lambda: engine.get(job.id).state is JobState.COMPLETED)
    for one in (job, quick):
        assert [a.result for a in engine.attempts(one.id)] == ["lost", "completed"]
    assert (engine.attempts(quick.id)[0].late or "").startswith("exit 0")

    # The host that was cut off is a full member again.
    near.crash()
    again = engine.add(f"hostname >> {tmp_path / 'where'}")
    until(lambda: engine.get(again.id).state is JobState.COMPLETED, timeout=40)
    assert (tmp_path / "where").read_text().strip() == far.name

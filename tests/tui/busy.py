"""A queue with something of everything, at fixed times: what the pictures are taken of."""

from __future__ import annotations

from queuectl_engine import Event, State, Stream, WorkerInfo
from tests.samples import HOUR, MINUTE, NOON, SECOND, stored
from tests.tui.fake import FakeQueue, attempt, dead, pool, running, waiting

_CURL = "curl -fsS https://hooks.example/notify?id={} --retry 3 --max-time 30 -o /dev/null"
_FFMPEG = "ffmpeg -i in{}.mp4 -vf scale=1280:720 -c:v libx264 -preset slow out{}.mp4"


def busy_queue() -> FakeQueue:
    """Waiting, scheduled, retrying, running, dead, finished and cancelled jobs; two pools."""
    queue = FakeQueue()
    for i in range(40):
        number = 1047900 + i
        kind = {"queue": "mail", "priority": 5} if i < 12 else {"queue": "video"}
        queue.stored[number] = waiting(number, (_CURL if i < 12 else _FFMPEG).format(i, i), **kind)
    queue.put(
        waiting(1048100, "bin/settle --day 2026-02-01", stored=State.SCHEDULED, run_at=NOON + HOUR),
        waiting(1048101, _CURL.format(7), stored=State.FAILED, attempts=2, runs=2, reason="exit 22",
                run_at=NOON + 5 * MINUTE + 4 * SECOND, queue="mail"),
        running(1048958, "python3 manage.py send_digest --batch 500", queue="mail", worker="w1",
                started_at=NOON + 4 * MINUTE + 30 * SECOND),
        running(1048961, _FFMPEG.format("b", "b"), queue="video", worker="w3"),
        running(1048962, "make -C site all", worker="w2", started_at=NOON + 3 * MINUTE,
                attempts=2, runs=2),
        dead(1045999, _CURL.format(17), queue="mail", reason="exit 22", cause_id=1),
        dead(1046512, "python3 manage.py send_digest", attempts=6, max_retries=5, cause_id=2),
        dead(1046930, _FFMPEG.format(3, 3), queue="video", reason="killed by signal 9", cause_id=3),
        dead(1044001, "rsync -a --delete src/ backup:/srv/", reason="timed out after 300 s",
             cause_id=4),
        dead(1048011, _CURL.format(91), queue="mail", key="hooks-91", reason="exit 22", cause_id=1),
        dead(1048012, _CURL.format(92), queue="mail", reason="exit 22", cause_id=1),
    )  # fmt: skip
    queue.said = {
        1: ("curl", "exit 22", "(N) The requested URL returned error: N"),
        2: ("python3", "exit 1", "SMTPRecipientsRefused: N recipients"),
        3: ("ffmpeg", "killed 9", ""),
        4: ("rsync", "timed out", "connection unexpectedly closed"),
    }
    queue.noted[1048012] = [
        Event(1048012, NOON - 2 * HOUR, "added", "ada"),
        Event(1048012, NOON - 30 * MINUTE, "requeued", "ada", "to run at 11:40"),
    ]
    for minutes, number in enumerate((1044001, 1045999, 1046512, 1046930, 1048011, 1048012)):
        ended = NOON - (50 - 10 * minutes) * MINUTE
        queue.stored[number] = queue.stored[number]._replace(
            started_at=ended - 1.2 * SECOND, finished_at=ended
        )
    for i in range(5):
        queue.stored[1043000 + i] = stored(
            id=1043000 + i, command=f"gzip -9 logs/{i}.txt", stored=State.COMPLETED, worker=None,
            started_at=NOON - HOUR, finished_at=NOON - HOUR + i * SECOND,
        )  # fmt: skip
    queue.stored[1043010] = stored(
        id=1043010, command="sleep 1d", stored=State.CANCELLED, reason="cancelled", worker=None,
        started_at=NOON - 2 * HOUR, finished_at=NOON - HOUR,
    )  # fmt: skip
    queue.history[1048012] = [attempt(1048012, number) for number in (1, 2, 3, 4)]
    queue.say(1048012, "trying 203.0.113.7 …\n")
    queue.say(
        1048012, "curl: (22) The requested URL returned error: 503\nretry in 4s\n", Stream.ERR
    )
    queue.say(1048012, "curl: (22) The requested URL returned error: 503\n", Stream.ERR)
    queue.history[1048961] = [
        attempt(1048961, 1, worker="w3", started_at=NOON, ended_at=None, result=None, reason=None)
    ]
    for second in range(30):
        queue.say(1048961, f"frame={second * 25:5} fps=25 time=00:00:{second:02}.00 speed=1x\n")
    workers = [WorkerInfo(i, f"w{i}", 4242 + i, NOON, True) for i in (1, 2, 3, 4)]
    jobs = {1: 1048958, 2: 1048962, 3: 1048961}
    queue.running = [
        pool(
            wanted=4,
            workers=tuple(
                WorkerInfo(w.id, w.name, w.pid, NOON, True, jobs.get(w.id), NOON) for w in workers
            ),
        ),
        pool(id=2, name="nightly", host="far", wanted=2, alive=None, workers=(), queues=("video",)),
    ]
    return queue

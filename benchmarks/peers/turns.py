"""Get and acknowledge, by several processes. Arguments: which queue, processes, jobs of each."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier

which, processes, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PATH = "queue.db"


def _litequeue() -> tuple[Callable[[int], None], Callable[[], None]]:
    from litequeue import LiteQueue  # type: ignore[import-not-found]

    queue = LiteQueue(PATH)

    def one() -> None:
        message = queue.pop()
        claim = getattr(message, "claim_id", None)  # since 0.10 or so it wants that, too
        queue.done(message.message_id, **({"claim_id": claim} if claim else {}))

    return lambda n: queue.put(f"echo {n}"), one


def _pulse() -> tuple[Callable[[int], None], Callable[[], None]]:
    from pulse_queue import Store  # type: ignore[import-not-found]

    store = Store(PATH)
    me = f"worker-{os.getpid()}"

    def one() -> None:
        task = store.lease_next_task(me)
        store.complete_task(task.id, me, task.lease_epoch)

    return lambda n: store.enqueue(f"echo {n}"), one


def _huey() -> tuple[Callable[[int], None], Callable[[], None]]:
    from huey import SqliteHuey  # type: ignore[import-not-found]

    queue = SqliteHuey(filename=PATH)

    @queue.task()  # type: ignore[untyped-decorator]
    def job(n: int) -> int:
        return n

    def one() -> None:
        queue.execute(queue.dequeue())

    return job, one


def _work(barrier: Barrier) -> None:
    _, one = MAKE[which]()
    barrier.wait()
    for _ in range(each):
        one()
    barrier.wait()


MAKE = {"litequeue": _litequeue, "pulse-queue": _pulse, "huey": _huey}

if __name__ == "__main__":
    put, _ = MAKE[which]()
    for n in range(processes * each + 10):
        put(n)
    barrier = multiprocessing.Barrier(processes + 1)
    workers = [multiprocessing.Process(target=_work, args=(barrier,)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    barrier.wait()
    began = time.perf_counter()
    barrier.wait()
    print(processes * each / (time.perf_counter() - began))
    for worker in workers:
        worker.join()

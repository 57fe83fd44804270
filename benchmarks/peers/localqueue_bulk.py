"""localqueue: jobs a second of `put_many`. Arguments: how many, text or dict."""

import sys
import time

from localqueue import SimpleQueue  # type: ignore[import-not-found]

count, kind = int(sys.argv[1]), sys.argv[2]
queue = SimpleQueue("queue.db")
lines = [f"echo {n}" for n in range(count)]
began = time.perf_counter()
for start in range(0, count, 5000):
    portion = lines[start : start + 5000]
    queue.put_many(portion if kind == "text" else [{"command": line} for line in portion])
print(count / (time.perf_counter() - began))

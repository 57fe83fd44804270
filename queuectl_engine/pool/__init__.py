"""Pools: a supervisor and its workers, and the commands that they run.

`supervisor` keeps workers alive · `worker` claims, runs, settles · `runner` is one command from
start to end · `rescue` takes over from the dead · `background` starts, finds and stops pools.
"""

"""How fast it is, beside what people would take instead: one module a question.

`python -m benchmarks run [NAME…]` asks them and keeps the answers as JSON, `python -m benchmarks
report` makes `docs/performance.md` of them.
"""

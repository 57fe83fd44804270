"""The conformance suite of `JobRepository`, and what only SQLite promises."""

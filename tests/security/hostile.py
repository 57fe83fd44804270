"""Values that have broken parsers, terminals and databases before."""

from __future__ import annotations

from typing import Final

DEEP: Final = "[" * 100_000 + "]" * 100_000
# As they stand in a file of JSON, by name.
JSON_VALUES: Final = {
    "nested arrays": DEEP,
    "nested objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "5000 digits": "9" * 5000,
    "beyond 64 bits": "9223372036854775808",
    "below 64 bits": "-9223372036854775809",
    "the largest": "9223372036854775807",
    "NaN": "NaN",
    "infinity": "-Infinity",
    "an infinite exponent": "1e999",
    "a large float": "1e18",
    "a fraction": "1.5",
    "negative": "-1",
    "true": "true",
    "null": "null",
    "a lone surrogate": '"\\ud800"',
    "NUL": '"a\\u0000b"',
    "control characters": '"\\u001b]52;c;x\\u0007\\u009b2J"',
    "bidi": '"a\\u202eb"',
    "a line feed": '"a\\nb"',
    "empty": '""',
    "blank": '" "',
    "long": '"' + "x" * 900_000 + '"',
    "the end of time": '"9999-12-31T23:59:59-23:59"',
    "before time": '"0001-01-01T00:00:00+23:59"',
    "a long duration": '"999999999999999999999999h"',
    "no items": "[]",
    "a surrogate among items": '["\\ud800"]',
    "NUL among items": '["a\\u0000"]',
    "nested items": f"[{DEEP}]",
    "a large number among items": "[9223372036854775808, -1]",
    "many items": "[" + ",".join(f'"a{n}"' for n in range(5000)) + "]",
    "no fields": "{}",
    "surrogates for a field": '{"\\ud800": "\\ud800"}',
    "NUL in a field": '{"A\\u0000": "\\u0000"}',
    "odd names of fields": '{"A=B": "x", "": "y"}',
    "a number for a field": '{"A": 1}',
}
# As a file begins, or goes on.
BYTES: Final = {
    "NUL": b"a\0b",
    "every byte": bytes(range(256)),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "true".encode("utf-16"),
    "no UTF-8": b"\xff\xed\xa0\x80",
    "10 MB": b"x" * 10_000_000,
    "10 MB of JSON": b'{"command": "' + b"x" * 10_000_000 + b'"}',
    "control characters": b"\x1b]52;c;x\x07",
    "digits": b"9" * 6000,
    "nested": DEEP.encode(),
    "a name twice": b'{"command": "a", "command": "b"}',
}
ARGUMENTS: Final = (
    "", "\0", "\udcff", "\x1b]0;x\x07", "\u202e", "9" * 5000, "-1", "1e400", "nan", "inf",
    "9223372036854775808", "²", "١", "x" * 100_000, "../../x", ",", "[", "*", "\n", '"', "\\",
    "label:", "age>" + "9" * 5000 + "d", "exit:" + "9" * 5000, "state:\0", "cause:" + "9" * 30,
    "key:\udcff", "0-" + "9" * 400, "+" + "9" * 500 + "d", "10000-01-01",
    "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "*/0 * * * *",
    "0-" + "9" * 5000 + " * * * *", "@reboot",
)  # fmt: skip

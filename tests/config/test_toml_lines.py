from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atom_console.config.toml_lines import key_lines

DOCUMENT = '''\
# [not] = "this"
top = 1

[kafka]   # a table
"quoted.key" = "[dlq]"
text = """
[dlq]
rate = 1
"""
literal = \'\'\'
x = 2\'\'\'
dotted . inner = [
  "a", # rate = 3
  "b",
]
inline = { one = 1, two = { three = 3 } }
  [ "profiles" . prod.kafka ]
  linger_ms = 5
[[array]]
name = "x"
[[array]]
name = "y"
'''


def test_lines_of_every_kind_of_statement() -> None:
    lines = key_lines(DOCUMENT)
    assert lines[("top",)] == 2
    assert lines[("kafka",)] == 4
    assert lines[("kafka", "quoted.key")] == 5
    assert lines[("kafka", "text")] == 6
    assert lines[("kafka", "literal")] == 10
    assert lines[("kafka", "dotted", "inner")] == 12
    assert lines[("kafka", "inline", "two", "three")] == 16
    assert lines[("profiles", "prod", "kafka")] == 17
    assert lines[("profiles", "prod", "kafka", "linger_ms")] == 18
    assert lines[("array", "name")] == 20
    assert ("dlq",) not in lines
    assert ("kafka", "rate") not in lines


def test_windows_lines_count_the_same() -> None:
    assert key_lines("a = 1\r\n[b]\r\nc = '''\r\n'''\r\nd = 2\r\n") == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "d"): 5,
    }


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
VALUES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.booleans(), TEXTS, st.lists(TEXTS, max_size=3))


@given(st.dictionaries(st.sampled_from("abcdef"), st.dictionaries(TEXTS, VALUES, max_size=4), max_size=4), st.data())
def test_every_key_is_where_it_was_written(document: dict[str, dict[str, Any]], data: st.DataObject) -> None:
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for table, values in document.items():
        lines += ["# x = 1"] * data.draw(st.integers(0, 2))
        lines.append(f"[{table}]")
        expected[(table,)] = len(lines)
        for name, value in values.items():
            joint = ",\n" if data.draw(st.booleans()) else ", "
            items = [toml_text(item) for item in value] if isinstance(value, list) else []
            text = f"[{joint.join(items)}]" if isinstance(value, list) else toml_text(value)
            expected[(table, name)] = len(lines) + 1
            lines += f"{toml_text(name)} = {text}".split("\n")
    text = "\n".join(lines)
    assert tomllib.loads(text) == document
    assert key_lines(text) == expected


def toml_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)

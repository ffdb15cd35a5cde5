"""Tables keep every digit, however narrow the terminal is."""

import pytest

from neomflex_jax.commands.grid_of_text import fitted, whole_rows

HEADER = ("run", "day cost\nmean", "losses\nMWh", "share\nout of band", "hard\nviolations")
ROWS = [
    ("controlled", "20.77", "3.706", "0.0101", "0"),
    ("baseline", "1,837.957", "5.231", "0.4467", "10,609"),
    ("a_run_with_a_long_name", "1.837957e+03", "n/a", "0.4467", "n/a"),
]
WORDS = {word for row in ROWS for word in row}


@pytest.mark.parametrize("width", range(5, 130))
def test_no_word_is_cut_or_broken_and_nothing_is_wider_than_the_terminal(width):
    lines = fitted(HEADER, ROWS, width)
    assert {word for line in lines for word in line.split()} >= WORDS
    assert all(len(line) <= max(width, len("a_run_with_a_long_name")) for line in lines)


def test_a_pipe_gets_one_line_a_row():
    lines = whole_rows(HEADER, ROWS)
    assert [line.split()[0] for line in lines] == ["run", *(row[0] for row in ROWS)]
    assert lines[0].split("  ")[-1] == "hard violations"
    assert lines[2].split() == list(ROWS[1])
    assert whole_rows(("bus", "devices"), [("1", "a\nb")])[1] == "1    a; b"


def test_numbers_stand_to_the_right_and_texts_to_the_left():
    lines = whole_rows(("name", "cost", "place"), [("a", "1.5", "north"), ("b", "10.25", "in the south")])
    assert lines == ["name   cost  place", "a       1.5  north", "b     10.25  in the south"]


def test_texts_are_broken_between_words_before_anything_else_gives_way():
    rows = [("one", "a sentence of some words", "1.2345")]
    assert fitted(("name", "text", "value"), rows, 24) == [
        "name  text         value",
        "----  ----------  ------",
        "one   a sentence  1.2345",
        "      of some",
        "      words",
    ]


def test_a_narrow_terminal_gets_a_block_a_row():
    rows = [("section", "", ""), ("case", "1.25", "0.333333333")]
    assert fitted(("what", "first\ncolumn", "second"), rows, 16) == [
        "section",
        "what case",
        "  first column",
        "    1.25",
        "  second",
        "    0.333333333",
    ]
    assert fitted(("field", "value"), [("a.very.long.name.of.a.field", "0.97")], 20) == [
        "a.very.long.name.of.a.field",
        "  0.97",
    ]


def test_a_table_without_rows_is_its_heading():
    assert whole_rows(("a", "b"), []) == ["a  b"]
    assert fitted(("a", "b"), [], 80) == ["a  b", "-  -"]

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from conformance.report.excerpt import excerpt, parting
from conformance.report.visible import ASCII, UNICODE, inert, units

from .samples import HOSTILE

anything = st.text(st.characters(exclude_categories=[]), max_size=60)


@given(anything, st.sampled_from([UNICODE, ASCII]))
@example(HOSTILE, UNICODE)
def test_nothing_that_comes_out_controls_a_terminal(text, glyphs):
    shown = [unit.shown for unit in units(text, glyphs=glyphs)]
    for char in "".join(shown):
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert glyphs is UNICODE or char.isascii()
    # No character is lost and none is shown twice.
    assert [0, *(unit.end for unit in units(text))] == [*(unit.start for unit in units(text)), len(text)]


@given(anything, st.integers(5, 40), st.sampled_from([UNICODE, ASCII]))
def test_inert_text_keeps_its_limit_and_its_line(text, limit, glyphs):
    shown = inert(text, limit, glyphs=glyphs)
    assert cell_len(shown) <= limit + 1
    assert len(shown.splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b", "a b"),
        ("a  b", "a␠␠b"),
        (" a ", "␠a␠"),
        ("a \nb", "a␠⏎b"),
        ("a\r\n\tb", "a␍⏎⇥b"),
        ("\x00\x1b\x7f\x9b", "␀␛␡⟨U+009B⟩"),
        ("\u202eab\u2066", "⟨U+202E⟩ab⟨U+2066⟩"),
        ("\u200b\ufeff\u2028\u00a0", "⟨U+200B⟩⟨U+FEFF⟩⟨U+2028⟩⟨U+00A0⟩"),
        ("e\u0301 \u0301", "e\u0301 ⟨U+0301⟩"),
        ("e" + "\u0301" * 4, "e\u0301\u0301⟨U+0301⟩⟨U+0301⟩"),
        ("⏎", "⟨U+23CE⟩"),
        ("漢字 👍", "漢字 👍"),
        ("[red]<|end|>", "[red]<|end|>"),
    ],
)
def test_pictures(text, shown):
    assert "".join(unit.shown for unit in units(text)) == shown


def test_pictures_in_ascii():
    assert inert("a\n\x1b é👍", glyphs=ASCII) == "a\\n\\x1b \\xe9\\U0001f44d"


def test_special_tokens_are_units():
    assert [unit.shown for unit in units("a<|end|>")] == ["a", "<|end|>"]
    assert [unit.shown for unit in units("<|end")] == ["<", "|", "e", "n", "d"]


def show(expected, actual, width=60, **kwargs):
    offset = next((i for i, (a, b) in enumerate(zip(expected, actual, strict=False)) if a != b), None)
    offset = min(len(expected), len(actual)) if offset is None else offset
    found = excerpt(expected, actual, parting(expected, actual, offset, **kwargs), width)
    return [found.expected.plain, found.actual.plain, " " * found.column + found.caret, found.note]


@pytest.mark.parametrize(
    ("expected", "actual", "shown"),
    [
        ("c,⏎\n", "c,,⏎\n", ["c,⟨U+23CE⟩⏎⟨end⟩", "c,,⟨U+23CE⟩⏎⟨end⟩", "  ^", "1 extra"]),
        ("default: c\n}", "default: c,\n}", ["default: c⏎", "default: c,⏎", "          ^", "1 extra"]),
        ("y<|return|>", "y", ["y<|return|>⟨end⟩", "y⟨end⟩", " ^", "10 missing"]),
        ("ab", "ab  ", ["ab⟨end⟩", "ab␠␠⟨end⟩", "  ^~", "2 extra"]),
        ("漢字a", "漢字b", ["漢字a⟨end⟩", "漢字b⟨end⟩", "    ^", "differs"]),
        ("👍 x", "👍 y", ["👍 x⟨end⟩", "👍 y⟨end⟩", "   ^", "differs"]),
        ("e\u0301", "e", ["e⟨U+0301⟩⟨end⟩", "e⟨end⟩", " ^", "1 missing"]),
        (
            "a<|end|>",
            "a<|endoftext|>",
            ["a<|end|>⟨end⟩", "a<|endoftext|>⟨end⟩", "      ^", "6 extra"],
        ),
        ("a b", "ab", ["a␠b⟨end⟩", "ab⟨end⟩", " ^", "1 missing"]),
    ],
)
def test_excerpts(expected, actual, shown):
    assert show(expected, actual) == shown


def test_a_long_line_is_cut_on_both_sides_and_no_token_in_two():
    before, after = "<|start|>user " * 50, "<|end|> and more" * 50
    expected, actual, caret, note = show(f"{before}x{after}", f"{before}y{after}")
    assert max(map(cell_len, (expected, actual, caret))) <= 60
    assert expected[len(caret) - 1] == "x"
    assert actual[len(caret) - 1] == "y"
    assert expected.startswith("…")
    assert expected.endswith("…")
    assert note == "differs"
    for piece in expected.strip("…").replace("<|start|>", "").replace("<|end|>", "").split():
        assert "|" not in piece


def test_an_earlier_difference_does_not_move_the_caret():
    expected, actual = "one\ntwo: a\nthree\n", "one and more\ntwo: a,\nthree\n"
    where = parting(expected, actual, expected.index("\nthree"), None, "", ",")
    found = excerpt(expected, actual, where, 60)
    assert found.note == "1 extra"
    assert found.actual.plain[found.column] == ","


def test_two_lines_that_are_shown_differ():
    """What is extra may repeat what follows for longer than a line: then the lines show where the repetition ends."""
    again = "<|start|>user<|message|>The same thing, said once more and at some length.<|end|>"
    expected, actual = f"{again}{again}<|return|>", f"{again}{again}{again}<|return|>"
    where = parting(expected, actual, len(again), None, "", again)
    found = excerpt(expected, actual, where, 60)
    assert found.expected.plain != found.actual.plain
    assert found.note == f"{len(again)} extra"


def test_equal_texts_and_offsets_out_of_range_are_harmless():
    for offset in (0, 3, 99):
        found = excerpt("abc", "abc", parting("abc", "abc", offset), 40)
        assert found.note == "same"


@given(anything, anything, st.integers(0, 70), st.integers(24, 100), anything, anything)
def test_excerpts_keep_their_width_whatever_comes(expected, actual, offset, width, part, other):
    found = excerpt(expected, actual, parting(expected, actual, offset, None, part, other), width)
    assert found.expected.cell_len <= width + 1
    assert found.actual.cell_len <= width + 1

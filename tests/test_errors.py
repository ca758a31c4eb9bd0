"""Exit codes and one-line messages."""

from __future__ import annotations

import re

import pytest

from gudi import errors


def test_tree_in_the_docstring_lists_all_errors_and_their_exit_codes():
    classes = [errors.GudiError]
    for each in classes:
        classes.extend(each.__subclasses__())
    documented = dict(re.findall(r"^[│├└─ ]*(\w+) +([12–])(?= |$)", errors.__doc__, re.MULTILINE))
    own = [each for each in classes if each.__module__ == errors.__name__]
    assert set(documented) == {each.__name__ for each in own}
    for each in own:
        assert documented[each.__name__] in (str(int(each.exit_code)), "–")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 写", "plain é 写"),
        ("two\nlines\t\x1b[31m", r"two\nlines\t\x1b[31m"),
        ("\udcff\u202e", r"\udcff\u202e"),
    ],
)
def test_unprintable_characters_are_escaped_on_one_line(text, expected):
    assert errors.one_line(text) == expected

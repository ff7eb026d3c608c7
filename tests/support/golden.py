"""Texts kept as files: the shape of what is generated, read by people in a diff.

A golden file proves no numbers; so a test passes the outcome of its numeric check, and a file is
only rewritten (`pytest --update-golden`) when that check has passed.
"""

from __future__ import annotations

from pathlib import Path


def check_golden(path: Path, text: str, *, update: bool, numbers_agree: bool) -> None:
    """Compare a text with its file; rewrite the file when asked to.

    Raises: AssertionError for a missing or different file, or when the numbers do not agree.
    """
    assert numbers_agree, f"{path.name}: the numbers are wrong, so its text is not looked at"
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return
    assert path.exists(), f"{path} is missing; make it with pytest --update-golden"
    expected = path.read_text()
    assert text == expected, f"{path} differs; see the diff, then pytest --update-golden"

"""`vidwatch status` is answered without what reads all options."""

from pathlib import Path

import pytest

from daemon.cli.plain_status import home_of


@pytest.mark.parametrize(
    ("words", "home"),
    [
        (["status"], "/of/variable"),
        (["status", "--json"], "/of/variable"),
        (["--home", "/srv/clips", "status"], "/srv/clips"),
        (["status", "--watch"], None),
        (["status", "--help"], None),
        (["--home", "status"], None),
        (["--home", "--version", "status"], None),
        (["stauts"], None),
        ([], None),
    ],
)
def test_only_what_is_plain_is_answered_so(
    monkeypatch: pytest.MonkeyPatch, words: list[str], home: str | None
) -> None:
    monkeypatch.setenv("VIDWATCH_HOME", "/of/variable")
    assert home_of(words) == (Path(home) if home else None)
    monkeypatch.setenv("VIDWATCH_HOME", "")
    assert home_of(["status"]) == Path("~/vidwatch")

"""Names of unknown origin, as people see them."""

from daemon.home.texts import shown


def test_a_name_in_a_log_is_one_line_without_its_folder() -> None:
    assert shown(b"/inbox/a\nb\x1b[2J\xff.mp4") == r"a\nb\x1b[2J\xff.mp4"

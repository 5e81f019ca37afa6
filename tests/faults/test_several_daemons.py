"""Several daemons on one server and one share: each clip once, whatever happens to one of them."""

import json
import os
import signal
import tomllib

import pytest
from machines import Machine, Share
from machines import share as share
from ordeal import tiny_model as tiny_model

from daemon.database.root import follow_home

pytestmark = pytest.mark.slow
KINDS_OF_DATABASE = ("postgresql",)

LEADS = "this daemon leads"


def both(share: Share, **more: str) -> tuple[Machine, Machine]:
    """Start two daemons; gives the one that leads first."""
    one, two = share.machine("one"), share.machine("two")
    one.start(**more)
    share.wait_for(share.leader)
    two.start(**more)
    share.wait_for(lambda: share.n_at_work() == 2)
    assert share.leader() == "one"
    return one, two


def test_status_shows_both_and_each_clip_is_classified_once_by_one_of_them(share: Share) -> None:
    one, two = both(share)
    for number in range(60):
        share.drop(number, f"inbox/{number}.avi")
    share.wait_for(share.is_done)
    share.require_each_once()
    assert LEADS in one.log.read_text()
    assert LEADS not in two.log.read_text()
    shown = json.loads(two.command("status", "--json").stdout)
    assert [(by["machine"], by["leads"], by["alive"]) for by in shown["daemons"]] == [
        ("one", True, True),
        ("two", False, True),
    ]
    assert {by["model"] for by in shown["daemons"]} == {"tiny"}
    text = two.command("status").stdout
    assert "two (this machine)" in text
    assert "leads" in text
    again = two.command("run")
    assert again.returncode == os.EX_TEMPFAIL
    assert again.stderr.count("\n") == 1
    assert one.stop() == 0
    share.wait_for(lambda: share.leader() == "two")
    assert two.stop() == 0
    assert share.members() == {}


@pytest.mark.parametrize("which", ["leader", "other"])
def test_one_of_two_is_killed_and_each_clip_is_classified_once(share: Share, which: str) -> None:
    one, two = both(share)
    for number in range(150):
        share.drop(number, f"inbox/{number}.avi")
    claimed = "SELECT DISTINCT claimed_by FROM videos WHERE claimed_by IS NOT NULL"
    share.wait_for(lambda: share.n_filed() and len(share.query(claimed)) == 2)
    (one if which == "leader" else two).kill()
    lives = "two" if which == "leader" else "one"
    took = share.wait_for(lambda: share.leader() == lives, 30)
    print(f"\n{which} killed: {lives} leads after {took:.1f} s")
    for number in range(150, 170):
        share.drop(number, f"inbox/{number}.avi")
    took = share.wait_for(share.is_done)
    print(f"{which} killed: all done after {took:.0f} s more")
    share.require_each_once()


def test_a_leader_that_stood_still_past_its_lease_does_no_harm(share: Share) -> None:
    one, two = both(share, VIDWATCH_TEST_HURRY="1")
    for number in range(120):
        share.drop(number, f"inbox/{number}.avi")
    share.wait_for(lambda: share.n_filed() > 10)
    one.send(signal.SIGSTOP)
    took = share.wait_for(lambda: LEADS in two.log.read_text())
    print(f"\nthe other leads after {took:.1f} s")
    share.wait_for(share.is_done)
    one.send(signal.SIGCONT)
    share.wait_for(lambda: "does not lead any more" in one.log.read_text())
    for number in range(120, 140):
        share.drop(number, f"inbox/{number}.avi")
    share.wait_for(share.is_done)
    share.require_each_once()


def test_a_new_champion_is_taken_by_both(share: Share) -> None:
    _, two = both(share)
    for suffix in (".json", ".safetensors"):
        (share.home.models / f"next{suffix}").write_bytes(
            (share.home.models / f"tiny{suffix}").read_bytes()
        )
    done = two.command("models", "promote", "next")
    assert done.returncode == 0, done.stderr
    share.wait_for(lambda: {by.model for by in share.members().values()} == {"next"})
    for number in range(20):
        share.drop(number, f"inbox/{number}.avi")
    share.wait_for(share.is_done)
    share.require_each_once()


def test_a_machine_whose_share_is_not_mounted_claims_nothing_until_it_is(share: Share) -> None:
    one, two = both(share)
    away = one.path.rename(one.path.with_name("away"))  # of the one that leads
    share.wait_for(lambda: share.leader() == "two")
    assert "is not mounted on this machine" in share.members()["one"].notices["home"]
    before = share.members()["one"].clips
    for number in range(40):
        share.drop(number, f"inbox/{number}.avi")
    share.wait_for(share.is_done)
    assert share.members()["one"].clips == before
    away.rename(one.path)
    assert two.stop() == 0
    for number in range(40, 50):
        share.drop(number, f"inbox/{number}.avi")
    share.wait_for(share.is_done)
    share.require_each_once()
    share.wait_for(lambda: "home" not in share.members()["one"].notices)


def test_clocks_a_day_apart_take_no_clip_from_another_daemon(share: Share) -> None:
    one, two = share.machine("one"), share.machine("two")
    one.start()
    two.start(VIDWATCH_TEST_AHEAD="86400")
    share.wait_for(lambda: share.n_at_work() == 2)
    for number in range(100):
        share.drop(number, f"inbox/{number}.avi")
    share.wait_for(share.is_done)
    share.require_each_once()
    for each in (one, two):
        assert ".avi: " in each.log.read_text()
    late = "SELECT count(*) FROM videos WHERE finished_at > clock_timestamp() + interval '1 hour'"
    assert share.query(late) == [(0,)]
    assert "no sign of life" not in one.log.read_text() + two.log.read_text()


def test_a_daemon_ends_when_a_newer_program_has_upgraded_the_database(share: Share) -> None:
    one = share.machine("one")
    one.start()
    share.wait_for(share.leader)
    with share.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert one.process
    assert one.process.wait(60) == 2
    assert "upgrade vidwatch on this machine" in one.log.read_text().splitlines()[-1]
    again = one.command("run")
    assert again.returncode == 2
    assert "a newer vidwatch wrote it (schema 9999)" in again.stderr


def test_in_the_place_of_a_share_that_is_not_mounted_nothing_is_made(share: Share) -> None:
    follow_home(share.engine, share.root)
    given = tomllib.loads(share.home.settings.read_text())
    one = share.machine("one")
    one.path.unlink()
    one.path.mkdir()
    names = ("database", "database_password_file")
    one.environment |= {f"VIDWATCH_{name.upper()}": given[name] for name in names}
    for command in ("run", "init"):
        done = one.command(command)
        assert done.returncode == os.EX_TEMPFAIL
        assert "is not mounted on this machine" in done.stderr
        assert done.stderr.count("\n") == 1
    assert list(one.path.iterdir()) == []

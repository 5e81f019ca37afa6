"""Archives and sources that are away, or do not answer, hold up nothing else."""

from datetime import timedelta

from test_in_place import Lab
from test_in_place import lab as lab
from test_pipeline import decoders as decoders

from daemon.home.folders import Folders
from daemon.home.sources import Source


def step_until_filed(lab: Lab, name: str) -> None:
    """Rounds within a few seconds: no pause is over."""
    for _ in range(25):
        lab.now += timedelta(seconds=0.05)
        lab.pipeline.step(lab.now)
        if any((row.name, row.state) == (name, "filed") for row in lab.rows()):
            return
    raise AssertionError("it was held up")


def test_a_source_that_is_away_holds_up_no_clip_of_the_inbox(lab: Lab) -> None:
    source = Source(bytes(lab.outside / "barn"), "barn", "leave")
    folders = Folders(lab.root, sources=[source])
    (lab.outside / "barn").mkdir()
    for number in range(300):
        path = lab.outside / f"barn/{number}.avi"
        path.write_text(f"{number}")
        lab.arrive_from(folders, path)
    (lab.outside / "barn").rename(lab.outside / "away")
    lab.drop("new.avi")
    step_until_filed(lab, "new.avi")
    # Of the others, a few were tried: the next ones wait until the source was looked for again.
    troubled = [row for row in lab.rows() if row.trouble]
    assert 0 < len(troubled) < 10
    assert "mount it" in troubled[0].trouble
    (lab.outside / "away").rename(lab.outside / "barn")
    lab.tick()
    lab.pipeline.step(lab.now)
    assert {row.state for row in lab.rows() if row.name != "new.avi"} > {"queued"}


def test_an_archive_that_is_away_holds_up_no_other_archive(lab: Lab) -> None:
    for number in range(300):
        path = lab.outside / f"old/{number}.avi"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}")
    lab.add(lab.outside / "old")
    lab.film("other/a.avi")
    lab.add(lab.outside / "other")
    (lab.outside / "old").rename(lab.outside / "away")
    step_until_filed(lab, "a.avi")

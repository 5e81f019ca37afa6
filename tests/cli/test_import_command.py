"""What `vidwatch import` prints, with real files and a process of its own."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import write_video
from homes import MadeHome
from installed import VIDWATCH


@pytest.fixture
def home(tmp_path: Path) -> MadeHome:
    return MadeHome(tmp_path / "home")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    for number, name in enumerate(["Fox/a.avi", "Deer/b.avi"]):
        (folder / name).parent.mkdir(parents=True)
        write_video(folder / name, shade=90 * number)
    return folder


def run(home: MadeHome, *arguments: str | Path, code: int = 0) -> Any:
    variables = {**os.environ, "VIDWATCH_HOME": str(home.root)}
    done = subprocess.run(
        [VIDWATCH, "import", *arguments], capture_output=True, text=True, env=variables
    )
    assert done.returncode == code, done.stderr
    return done


def test_labels_are_imported_once_with_their_files(home: MadeHome, archive: Path) -> None:
    text = run(home, archive, "--dry-run").stdout
    assert text == "class folders: 2 labels would be noted, 2 videos would be queued\n"
    assert home.rows() == []
    later = "; the daemon is not running: it classifies the videos when it runs"
    done = f"class folders: 2 labels noted, 2 videos queued{later}\n"
    assert run(home, archive).stdout == done
    again = "class folders: 0 labels noted, 0 videos queued; 2 were known\n"
    assert run(home, archive).stdout == again
    table = archive / "table.csv"
    table.write_text("filepath,label\nFox/a.avi,Fox\nDeer/b.avi,Fox\nDeer/b.avi,Deer\n")
    assert run(home, table).stdout.splitlines() == [
        "zamba: 0 labels noted, 0 videos queued; 1 were known",
        "1 file with several classes got no label: Deer/b.avi (Deer, Fox)",
    ]


@pytest.mark.slow
def test_what_is_left_out_or_kept_is_named(home: MadeHome, archive: Path) -> None:
    run(home, archive)
    (archive / "two\nlines.avi").touch()
    for number in range(7):
        (archive / f"Fox/{number}.txt").touch()
    assert run(home, archive).stdout.splitlines()[1:] == [
        "left out: 7 no videos by their names (.txt): "
        "Fox/0.txt, Fox/1.txt, Fox/2.txt, Fox/3.txt, Fox/4.txt and 2 more",
        "left out: 1 in no class folder: two\\nlines.avi",
    ]
    (video,) = [row.id for row in home.rows() if row.name == "a.avi"]
    home.give_label(video, "Hare")
    table = archive / "table.csv"
    table.write_text("file,label\nFox/a.avi,Deer\n")
    assert run(home, table).stdout.splitlines() == [
        "table with file and label: 0 labels noted, 0 videos queued",
        "1 label that a person gave stays as it is: archive/Fox/a.avi (it is Hare, here Deer)",
    ]
    table.write_text("file,label\nDeer/b.avi,Fox\n")
    later = "; the daemon is not running: it moves the files when it runs"
    assert run(home, table).stdout == (
        f"table with file and label: 1 label noted, 0 videos queued{later}\n"
    )
    with home.home.lock():
        table.write_text("file,label\nDeer/b.avi,Deer\n")
        assert run(home, table).stdout == (
            "table with file and label: 1 label noted, 0 videos queued\n"
        )


@pytest.mark.slow
def test_copies_go_into_the_home(home: MadeHome, archive: Path) -> None:
    run(home, archive, "--copy")
    assert [row.on_filed for row in home.rows()] == ["copy", "copy"]
    home.predict()
    places = {os.fsdecode(row.destination) for row in home.rows()}
    assert places == {f"{home.root}/labelled/{name}" for name in ("Fox/a.avi", "Deer/b.avi")}


@pytest.mark.slow
def test_the_first_wrong_lines_are_listed_and_the_others_counted(
    home: MadeHome, archive: Path
) -> None:
    table = archive / "table.csv"
    table.write_text("file,label\n" + "".join(f"{n}.avi,Fox\n" for n in range(25)))
    lines = run(home, table, code=2).stderr.splitlines()
    assert len(lines) == 22
    assert lines[0] == "line 2: no file '0.avi', and no video of that name in the database"
    assert lines[-2] == "and 5 errors more"
    assert lines[-1] == "vidwatch: import: nothing was imported: 25 errors"


@pytest.mark.slow
def test_what_is_no_table_is_answered_by_what_is_known(home: MadeHome, archive: Path) -> None:
    table = archive / "table.csv"
    table.write_text("name,species\na.avi,Fox\n")
    (line,) = run(home, table, code=2).stderr.splitlines()
    assert "its first line is 'name,species'" in line
    assert "zamba's 'filepath,label'" in line

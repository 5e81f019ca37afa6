import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_video
from tiny import SPEC, class_folders, untrained
from tiny import cache as cache

from learner.classes import EMPTY
from learner.dataset import class_names, extract, find_clips, read_frames
from learner.errors import VidwatchError
from learner.video import read_clip


def test_clips_are_found_with_their_class_and_group(tmp_path: Path) -> None:
    clips = find_clips(class_folders(tmp_path / "data", groups=2))
    assert [(clip.path.name, clip.label, clip.group) for clip in clips] == [
        ("v_bright_g00_c01.avi", "bright", "v_bright_g00"),
        ("v_bright_g01_c01.avi", "bright", "v_bright_g01"),
        ("v_dark_g00_c01.avi", "dark", "v_dark_g00"),
        ("v_dark_g01_c01.avi", "dark", "v_dark_g01"),
    ]
    assert class_names(clips) == ("bright", "dark")


def test_a_sub_folder_is_a_group_and_a_clip_without_either_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "cat" / "garden").mkdir(parents=True)
    (tmp_path / "cat" / "garden" / "1.mp4").write_bytes(b"1")
    (tmp_path / "cat" / "2.mp4").write_bytes(b"2")
    own = hashlib.sha256(b"2").hexdigest()
    assert {clip.path.name: clip.group for clip in find_clips(tmp_path)} == {
        "1.mp4": "garden",
        "2.mp4": own,
    }


def test_a_pattern_of_ones_own_makes_groups(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "cam7-001.mp4").write_bytes(b"1")
    assert find_clips(tmp_path, r"(cam\d+)-")[0].group == "cam7"


def test_the_same_content_in_one_class_counts_once(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "cat" / name).write_bytes(b"same")
    assert [clip.path.name for clip in find_clips(tmp_path)] == ["a.mp4"]


def test_the_same_content_in_two_classes_is_an_error_that_names_both(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.mp4").write_bytes(b"same")
    with pytest.raises(VidwatchError, match=r"cat/a\.mp4 and .*dog/a\.mp4"):
        find_clips(tmp_path)


def test_hidden_files_and_loose_files_are_no_clips(tmp_path: Path) -> None:
    for name in (
        "cat/a.mp4",
        "cat/.b.mp4",
        "cat/Thumbs.db",
        "cat/a.THM",
        "cat/a.wav",
        ".git/c",
        "loose.mp4",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [clip.path.name for clip in find_clips(tmp_path)] == ["a.mp4"]


@pytest.mark.parametrize("name", ["nothing", "file", "empty"])
def test_a_folder_without_class_folders_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(VidwatchError, match=rf"{name}.*folder"):
        find_clips(tmp_path / name)


@pytest.mark.parametrize("label", [b"_unsure", b"\xff", b"new\nline"])
def test_a_folder_that_cannot_be_a_class_is_named(tmp_path: Path, label: bytes) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + label))
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"1")
    with pytest.raises(VidwatchError, match="a class must be a folder's name"):
        find_clips(tmp_path)


def test_features_are_in_the_order_of_the_clips_and_half_precision(
    tmp_path: Path, cache: Path
) -> None:
    clips = find_clips(class_folders(tmp_path / "data"))
    classifier = untrained(tmp_path)
    found = extract(clips, classifier)
    assert found.clips == clips
    assert (found.tensor().dtype, found.tensor().shape[:2]) == (torch.float16, (8, 4))
    assert np.array_equal(found.values[5], extract(clips[5:6], classifier).values[0])


def test_a_second_run_takes_features_from_the_cache(tmp_path: Path, cache: Path) -> None:
    clips = find_clips(class_folders(tmp_path / "data", groups=1))
    first = extract(clips, untrained(tmp_path))
    for clip in clips:
        clip.path.unlink()
    assert torch.equal(extract(clips, untrained(tmp_path)).tensor(), first.tensor())


def test_other_weights_have_a_cache_of_their_own(tmp_path: Path, cache: Path) -> None:
    clips = find_clips(class_folders(tmp_path / "data", groups=1))
    first, other = untrained(tmp_path), untrained(tmp_path)
    with torch.no_grad():
        other.network.backbone.body.conv_stem.weight.mul_(-1)
    assert not torch.equal(extract(clips, first).tensor(), extract(clips, other).tensor())


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_cache_entry_is_made_anew(
    tmp_path: Path, cache: Path, damage: bytes | None
) -> None:
    clips = find_clips(class_folders(tmp_path / "data", groups=1))
    first = extract(clips, untrained(tmp_path))
    for entry in [path for path in cache.rglob("*") if path.is_file()]:
        entry.write_bytes(entry.read_bytes()[:-2] if damage is None else damage)
    assert torch.equal(extract(clips, untrained(tmp_path)).tensor(), first.tensor())


def test_a_file_that_changed_since_it_was_found_is_skipped(tmp_path: Path, cache: Path) -> None:
    clips = find_clips(class_folders(tmp_path / "clips", groups=5))
    changed = write_video(clips[0].path, frames=9, shade=90)
    found = extract(clips, untrained(tmp_path))
    assert found.skipped == {str(changed): "changed while it was read"}
    assert len(found.clips) == len(clips) - 1


def test_a_file_that_gives_no_frames_is_skipped_with_its_reason(
    tmp_path: Path, cache: Path
) -> None:
    root = class_folders(tmp_path / "data", groups=5)
    (root / "dark" / "text.mp4").write_text("no video")
    found = extract(find_clips(root), untrained(tmp_path))
    assert len(found.clips) == 10
    assert list(found.skipped) == [str(root / "dark" / "text.mp4")]
    assert "not a video" in found.skipped[str(root / "dark" / "text.mp4")]


def test_more_than_a_tenth_unreadable_stops_and_names_them(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "data", groups=5)
    for name in ("a", "b"):
        (root / "dark" / f"{name}.mp4").write_text(f"no video {name}")
    with pytest.raises(
        VidwatchError, match=r"2 of the 12 clips .* more than a tenth: .*a\.mp4: not a video"
    ):
        extract(find_clips(root), untrained(tmp_path))


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", groups=1)
    (root / "zebra").mkdir()
    with pytest.raises(VidwatchError, match="class folder 'zebra' holds no clips"):
        find_clips(root)


def test_frames_are_read_once_and_are_those_of_the_clip(tmp_path: Path, cache: Path) -> None:
    clips = find_clips(class_folders(tmp_path / "data", groups=2))
    first = read_frames(clips, SPEC)
    assert [values.shape for values in first.values] == [(4, 32, 32, 3)] * 4
    assert np.array_equal(first.values[0], read_clip(clips[0].path, SPEC).frames)
    for clip in clips:
        clip.path.unlink()
    again = read_frames(clips, SPEC)
    assert all(
        np.array_equal(one, other) for one, other in zip(first.values, again.values, strict=True)
    )


def test_frames_do_not_depend_on_what_they_are_normalised_with(tmp_path: Path, cache: Path) -> None:
    clips = find_clips(class_folders(tmp_path / "data", groups=1))
    read_frames(clips, SPEC)
    for clip in clips:
        clip.path.unlink()
    assert len(read_frames(clips, replace(SPEC, mean=(0, 0, 0))).clips) == 2
    with pytest.raises(VidwatchError, match="2 of the 2 clips cannot be read"):
        read_frames(clips, replace(SPEC, size=16))


def test_progress_ends_at_all_clips(tmp_path: Path, cache: Path) -> None:
    clips = find_clips(class_folders(tmp_path / "data", groups=1))
    steps: list[tuple[int, int]] = []
    extract(clips, untrained(tmp_path), progress=lambda done, of: steps.append((done, of)))
    assert (steps[0], steps[-1]) == ((0, 2), (2, 2))


def test_a_one_frame_clip_has_features(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "data" / "dark").mkdir(parents=True)
    write_video(tmp_path / "data" / "dark" / "one.avi", frames=1)
    values = extract(find_clips(tmp_path / "data"), untrained(tmp_path)).tensor().numpy()
    assert np.ptp(values, axis=1).max() == 0


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert (
        len(
            extract(
                find_clips(class_folders(tmp_path / "data", groups=1)), untrained(tmp_path)
            ).clips
        )
        == 2
    )


@pytest.mark.slow
def test_more_clips_than_a_process_may_open_files_are_read(tmp_path: Path, cache: Path) -> None:
    """In a process of its own, which may open 40."""
    root = class_folders(tmp_path / "data", groups=30)
    program = (
        "import resource, sys; from pathlib import Path;"
        "from learner.dataset import find_clips, read_frames;"
        "from learner.spec import ClipSpec; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40));"
        "clips = find_clips(Path(sys.argv[1]));"
        "print([len(read_frames(clips, ClipSpec(4, 32)).clips) for _ in range(2)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)], capture_output=True, text=True
    )
    assert done.stdout == "[60, 60]\n", done.stderr


def test_a_link_to_nothing_and_an_empty_file_are_skipped_by_name(
    tmp_path: Path, cache: Path
) -> None:
    root = class_folders(tmp_path / "data", groups=10)
    (root / "dark" / "link.mp4").symlink_to("nowhere")
    (root / "dark" / "empty.mp4").touch()
    skipped = read_frames(find_clips(root), SPEC).skipped
    assert {Path(name).name: reason for name, reason in skipped.items()} == {
        "link.mp4": "cannot be read (No such file or directory)",
        "empty.mp4": "the file is empty (0 bytes)",
    }


def test_empty_files_in_two_classes_are_not_one_video_in_two_classes(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", groups=1)
    for label in ("bright", "dark"):
        (root / label / "empty.mp4").touch()
    assert len(find_clips(root)) == 4


def test_a_pipe_is_not_waited_for(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "data", groups=5)
    os.mkfifo(root / "dark" / "pipe.mp4")
    assert list(read_frames(find_clips(root), SPEC).skipped) == [str(root / "dark" / "pipe.mp4")]


def test_a_class_folder_may_be_a_link(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", groups=2)
    (root / "dark").rename(tmp_path / "elsewhere")
    (root / "dark").symlink_to(tmp_path / "elsewhere")
    assert class_names(find_clips(root)) == ("bright", "dark")


def test_clips_of_empty_scenes_are_of_a_class_to_learn(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data")
    next(path for path in sorted(root.iterdir()) if path.is_dir()).rename(root / EMPTY)
    assert EMPTY in {clip.label for clip in find_clips(root)}

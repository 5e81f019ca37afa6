"""Takes the pictures of the docs from the real program: the status table and the page.

It makes a home with drawn clips, runs the daemon and the page on it, and takes docs/pictures/*.png
with chromium. Without playwright or chromium it says so and ends.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from draw_clips import KINDS, write_clip
from PIL import Image
from rich.console import Console

from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.report.status import read_status
from daemon.report.tables import render

PICTURES = Path(__file__).with_name("pictures")
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
VIDWATCH = Path(sys.executable).with_name("vidwatch")
LABELLED = 14  # clips of each kind that are labelled
NEW = 12  # clips of each kind that come after the model was trained
PATIENCE = 900.0  # seconds that a step may take on a slow machine
WIDE, NARROW = (1280, 860), (390, 844)
# A picture's name: the path of the page, the size of the window, and whether it is dark.
SHOTS = {
    "today": ("/", WIDE, False),
    "review": ("/review", WIDE, False),
    "review-narrow": ("/review", NARROW, True),
    "activity": ("/activity?by=recorded", WIDE, False),
    "models": ("/models", WIDE, False),
}
SETTINGS = """
review_share = 0.3
min_free_gigabytes = 0.0
device = "cpu"
"""


def main() -> int:
    """Take all pictures; gives the exit status."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("no pictures: playwright is not installed (pip install playwright)")
        return 0
    if not Path(CHROMIUM).exists():
        print("no pictures: there is no chromium (Debian: apt-get install chromium)")
        return 0
    PICTURES.mkdir(exist_ok=True)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with folder_of_pictures() as folder, sync_playwright() as driver:
        home = Home.at(folder / "vidwatch")
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        with filled(home):
            _take_status(browser, home)
            with page_of(home) as address:
                _take_pages(browser, address)
        browser.close()
    return 0


@contextmanager
def folder_of_pictures() -> Iterator[Path]:
    """A folder whose name looks well in a picture, while it is needed."""
    folder = Path(tempfile.gettempdir()) / "lab"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def filled(home: Home) -> Iterator[None]:
    """The home with a model of its own classes, classified clips, and the daemon running."""
    _vidwatch(home, "init")
    with home.settings.open("a") as settings:
        settings.write(SETTINGS)
    for kind in KINDS:
        for number in range(LABELLED):
            name = f"{kind}_g{number // 2:02}_c{number % 2}.mp4"
            write_clip(home.root / "labelled" / kind / name, kind, number)
    with _process(home, "run"):
        _wait("a model of its own", lambda: _status(home)["model"] != "starter")
        _drop_new_clips(home)
        total = len(KINDS) * (LABELLED + NEW)
        _wait("predictions", lambda: _status(home)["filed"] >= total)
        yield


def _drop_new_clips(home: Home) -> None:
    """New clips of two cameras, named after their times of recording, and one that is no video."""
    for number in range(NEW):
        day = now() - timedelta(days=number % 9 + 1)
        for at, kind in enumerate(KINDS):
            hour = (5 + 7 * at + number % 5) % 24
            recorded = datetime(day.year, day.month, day.day, hour, 7 * number % 60)
            camera = "meadow" if number % 3 else "road"
            write_clip(
                home.inbox / camera / f"{recorded:%Y%m%d_%H%M%S}.mp4", kind, LABELLED + number
            )
    (home.inbox / "notes.mp4").write_text("Batteries changed on Monday.")


@contextmanager
def page_of(home: Home) -> Iterator[str]:
    """The page of the home; gives its address."""
    with _process(home, "review", "--port", "0") as process:
        assert process.stdout
        words = process.stdout.readline().split()
        yield next(word for word in words if word.startswith("http://")).rstrip("/.")


def _take_status(browser: Any, home: Home) -> None:
    console = Console(record=True, width=104, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(render(read_status(home, now()), now()))
    drawing = console.export_svg(title="vidwatch status", clear=True)
    # What comes from another server is left out: chromium has a font of its own.
    drawing = drawing.replace("@font-face", "@media none")
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.set_content(f'<body style="margin:0">{drawing}</body>')
    page.locator("svg").screenshot(path=PICTURES / "status.png")
    page.close()
    _shrink(PICTURES / "status.png")


def _take_pages(browser: Any, address: str) -> None:
    for name, (path, (width, height), is_dark) in SHOTS.items():
        scheme = "dark" if is_dark else "light"
        size = {"width": width, "height": height}
        page = browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        page.goto(address + path)
        if page.locator("input[name=name]").count():
            page.fill("input[name=name]", "ann")
            page.keyboard.press("Enter")
            page.goto(address + path)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(5000)  # figures are counted in the background
        page.screenshot(path=PICTURES / f"{name}.png")
        page.close()
        _shrink(PICTURES / f"{name}.png")


def _shrink(path: Path) -> None:
    """A picture of few colours takes a third of the space."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(128, method=Image.Quantize.MEDIANCUT)
    small.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} kB")


def _vidwatch(home: Home, *words: str) -> str:
    command = [VIDWATCH, "--home", home.root, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _status(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_vidwatch(home, "status", "--json"))
    return found


@contextmanager
def _process(home: Home, *words: str) -> "Iterator[subprocess.Popen[str]]":
    command = [VIDWATCH, "--home", home.root, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _wait(what: str, is_there: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_there():
        if time.monotonic() > end:
            raise SystemExit(f"no {what} within {PATIENCE:.0f} s")
        time.sleep(2)


if __name__ == "__main__":
    sys.exit(main())

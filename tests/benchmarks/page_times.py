"""How long pages take on a home: `python tests/benchmarks/page_times.py HOME [PATH…]`.

`million.py` makes a home for it. Each page is asked for through the application, without a network,
once to warm it and five times more. Milliseconds of the clock, and of the processor: on a machine
that others use, the clock says little.
"""

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from starlette.testclient import TestClient

from daemon.home.folder import Home
from daemon.home.settings import load
from daemon.page.app import make_app
from daemon.page.key import kept_key
from daemon.page.reviewers import Reviewers, typed_cookie_name
from daemon.page.site import Site

TIMES = 5
PORT = 8765
ASKED = 300  # milliseconds
PATHS = (
    "/",
    "/clips",
    "/clips?view=table",
    "/clips?before=500000",
    "/clips?after=500000",
    "/clips?class=class+5",
    "/clips?class=rarely+seen",
    "/clips?class=no+more+seen",
    "/clips?class=_unsure",
    "/clips?label=class+1&predicted=class+5",
    "/clips?source=cam3",
    "/clips?from=2020-01-01&to=2030-01-01",
    "/clips?to={long_ago}",
    "/clips?from={long_ago}&to={long_ago}",
    "/clips?hour=22-4",
    "/clips?weekday=3",
    "/clips?least=99",
    "/clips?least=40&most=41",
    "/clips?state=failed",
    "/clips?who=ann",
    "/clips?name=c12345",
    "/clips?name=cam3/c99*.mp4",
    "/clips?name=nothing+such",
    "/clips?class=class+5&source=cam5",
    "/clips?class=class+5&from={long_ago}",
    "/clips?class=class+5&least=95",
    "/clips?class=class+5&hour=5",
    "/clips?source=cam3&from={long_ago}&to={long_ago}",
    "/clips?source=cam3&hour=5",
    "/clips?source=cam3&state=failed",
    "/clip/999000",
    "/clip/1",
    "/quality",
    "/models",
    "/problems",
)


@contextmanager
def browser(root: Path) -> Iterator[TestClient]:
    """One that has said its name."""
    home = Home.at(root)
    site = Site.on(home, load(home.settings), PORT, Reviewers(kept_key(home.review_key), ()))
    client = TestClient(make_app(site, "127.0.0.1"), base_url=f"http://127.0.0.1:{PORT}")
    client.cookies.set(typed_cookie_name(PORT), site.reviewers.typed_cookie("ann"))
    try:
        yield client
    finally:
        site.close()


def measured(client: TestClient, path: str) -> tuple[int, float, float, float, int]:
    """The status, the first time, the medians of clock and processor, and the page's size."""
    clock: list[float] = []
    processor: list[float] = []
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        spent = time.process_time()
        response = client.get(path)
        processor.append(1000 * (time.process_time() - spent))
        clock.append(1000 * (time.perf_counter() - began))
    median = statistics.median
    size = len(response.content)
    return response.status_code, clock[0], median(clock[1:]), median(processor[1:]), size


def main(root: Path, paths: list[str]) -> None:
    """Print a line for each page."""
    long_ago = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 300 * 86400))
    print(f"{'page':58} status  first  median  processor  kilobytes   (asked: {ASKED} ms)")
    with browser(root) as client:
        for path in paths or PATHS:
            status, *figures, size = measured(client, path.format(long_ago=long_ago))
            first, clock, processor = (round(one) for one in figures)
            print(f"{path:58} {status:6} {first:6} {clock:7} {processor:10} {size // 1000:10}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

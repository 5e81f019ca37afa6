"""What docs/promises.md promises, and the tests that hold vidwatch to it, are the same list."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_each_promise_has_its_test_and_each_test_of_faults_its_promise() -> None:
    promised = re.findall(
        r"^\| [^|]+ \| `(tests/faults/test_\w+\.py)` \|$",
        (ROOT / "docs/promises.md").read_text(),
        re.M,
    )
    there = [str(path.relative_to(ROOT)) for path in (ROOT / "tests/faults").glob("test_*.py")]
    assert sorted(promised) == sorted(there)

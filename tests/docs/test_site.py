"""The site of the docs is built strictly, has all pages, and loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import make_site
import pytest
from make_site import ELSEWHERE, pages, staged
from pages_of_docs import README, ROOT

LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")


def in_nav(part: object) -> set[str]:
    if isinstance(part, str):
        return {part}
    parts = part.values() if isinstance(part, dict) else part
    return set().union(*map(in_nav, parts))  # type: ignore[call-overload]


def test_each_page_is_in_the_navigation() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert in_nav(nav) == {str(page) for page in pages() if page.suffix == ".md"}


def test_a_link_to_another_file_of_the_project_is_plain_text(tmp_path: Path) -> None:
    source = ROOT / "docs" / "page.md"
    written = tmp_path / "page.md"
    written.write_text(f"[a]({ROOT}/Makefile) [b](gone.md) [c]({ROOT}/SECURITY.md#x) [d](#e)")
    assert staged(Path("fields/page.md"), written) == "a [b](gone.md) [c](../security.md#x) [d](#e)"
    assert source in pages().values()


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150
    targets = {target.split("#")[0] for target in LINK.findall(text)}
    assert [target for target in targets if not (ROOT / target).exists()] == []
    assert {"docs/pictures/status.png", "docs/pictures/today.png"} <= targets


def test_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in ROOT.glob("docs/pictures/*.png")}
    assert len(sizes) >= 3
    assert max(sizes.values()) < 160_000


def test_texts_from_elsewhere_are_there() -> None:
    assert [name for name in ELSEWHERE if not (ROOT / name).is_file()] == []


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zensical", reason="needs zensical: pip install 'vidwatch[docs]'")
    monkeypatch.setattr(make_site, "STAGE", tmp_path / "build" / "docs")
    (tmp_path / "zensical.toml").write_text((ROOT / "zensical.toml").read_text())
    make_site.stage()
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout + done.stderr
    site = tmp_path / "build" / "site"
    for page in pages():
        assert (site / page.with_suffix(".html" if page.suffix == ".md" else page.suffix)).exists()
    for path in site.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|iframe)[^>]* src="?(?:https?:)?//[^" >]*', html) == []
        assert re.findall(r'<link[^>]*href="?(?:https?:)?//[^" >]*', html) == []

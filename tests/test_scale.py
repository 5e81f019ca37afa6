"""The figures of docs/scale.md follow from its constants."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs" / "scale.md").read_text()


def constant(name: str) -> float:
    found = re.search(rf"^\| {name}, .*?\| ([\d.]+) \|", TEXT, re.MULTILINE)
    assert found, name
    return float(found[1])


def row(name: str) -> list[float]:
    found = re.search(rf"^\| {re.escape(name)} \|(.*)\|$", TEXT, re.MULTILINE)
    assert found, name
    return [float(cell) for cell in found[1].split("|")]


def test_the_figures_follow_from_the_constants() -> None:
    clips = [1e6, 1e7, 1e8]
    decoding, model, gpu = (constant(name) for name in "DMG")
    size, row_bytes = constant("F"), constant("B")
    expected = {
        "core-hours without a GPU": ([n * (decoding + model) / 3600 for n in clips], 0),
        "GPU-hours (G assumed)": ([n / gpu / 3600 for n in clips], 1),
        "hours with 4 GPUs": ([n / gpu / 4 / 3600 for n in clips], 1),
        "database, GB": ([n * row_bytes / 1e9 for n in clips], 1),
        "read from the share, TB": ([n * size / 1e6 for n in clips], 2),
    }
    for name, (figures, digits) in expected.items():
        assert row(name) == [round(figure, digits) for figure in figures], name


def test_the_sentence_below_the_table_follows_from_the_constants() -> None:
    gpu = constant("G")
    cores, rate = round(gpu * constant("D")), round(gpu * constant("F"))
    assert f"Beside each GPU, {cores} cores decode" in TEXT
    assert f"delivers {rate} MB/s" in TEXT
    assert f"that is {round(4 * gpu)} clips a second" in TEXT

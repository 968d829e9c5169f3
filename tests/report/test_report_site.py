"""The scoreboard as a site: files that lead to each other, badges, and nothing of a stranger's that runs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from conformance.report.base import Output
from conformance.report.site import badge, file_names, site_files

from . import samples
from .browser import open_browser

EVIL = "</a><script>window.hacked=1</script>../../x"


def made() -> dict[str, bytes]:
    return dict(site_files(samples.full(), Output(folder=Path("unused")), samples.repairs()))


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attributes if name in ("href", "src")]


def test_every_template_has_a_page_and_a_badge_and_all_links_lead_to_a_file():
    files = made()
    targets = samples.full().targets
    assert sum(name.startswith("badges/") for name in files) == len(targets)
    links = _Links()
    links.feed(files["index.html"].decode())
    assert len(links.found) >= len(targets)
    assert set(links.found) <= set(files)
    assert "17.5 % → 100 %" in files["index.html"].decode()


def test_badges_are_images_that_say_the_share():
    target = samples.diverging()
    assert "15.2 %" in badge(target, "harmony")
    assert "not judged" in badge(replace(target, verdict="error"), "harmony")
    assert "not Harmony" in badge(replace(target, harmony=False), "harmony")
    for name, data in made().items():
        if name.endswith(".svg"):
            assert ElementTree.fromstring(data).tag.endswith("svg")


def test_file_names_are_plain_and_never_the_same():
    target = samples.diverging()
    given = ((EVIL, "a"), ("x/y", "b"), ("x y", "c"), ("index", "d"))
    targets = [replace(target, name=name, sha256=sha * 64) for name, sha in given]
    report = replace(samples.full(), targets=targets)
    names = list(file_names(report).values())
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII) and name != "index" for name in names)


def test_a_hostile_name_is_text(tmp_path: Path):
    report = replace(samples.full(), targets=[replace(samples.diverging(), name=EVIL)])
    files = dict(site_files(report, Output(folder=tmp_path), samples.repairs()))
    links = _Links()
    links.feed(files["index.html"].decode())
    assert "script" not in links.tags
    driver: Any = open_browser()
    if isinstance(driver, str):
        pytest.skip(driver)
    try:
        (tmp_path / "badges").mkdir()
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        driver.get((tmp_path / "index.html").as_uri())
        assert driver.execute_script("return window.hacked") is None
        assert driver.execute_script("return [...document.images].every((image) => image.naturalWidth > 0)")
        assert [entry["message"] for entry in driver.get_log("browser")] == []
        driver.find_element("css selector", "td a").click()
        assert driver.execute_script("return document.documentElement.dataset.ready") == "yes"
    finally:
        driver.quit()

"""The page in a real browser: what is shown, what filters, what hostile text does, what it weighs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from conformance.report.base import Output, writer
from conformance.report.model import LeftOut, Report, Token

from . import samples
from .browser import axe, open_browser

SCRIPT = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


def html(report: Report) -> bytes:
    written = writer("html")(report, Output(folder=Path("unused")))
    assert isinstance(written, bytes)
    return written


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = open_browser()
    if isinstance(driver, str):
        pytest.skip(driver)
    yield driver
    driver.quit()


def show(browser: Any, path: Path, report: Report) -> None:
    path.write_bytes(html(report))
    browser.get_log("browser")
    browser.get(path.as_uri())
    assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def visible_cards(browser: Any) -> list[str]:
    script = "return [...document.querySelectorAll('.card h3')].map(n => n.textContent)"
    titles: list[str] = browser.execute_script(script)
    return titles


def test_it_is_one_file_that_needs_nothing_else() -> None:
    page = html(samples.full()).decode()
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)", page)
    assert "default-src 'none'" in unescape(page.split("<style>")[0])
    assert html(samples.full()) == html(samples.full())


def test_the_first_screen_and_a_card(browser: Any, tmp_path: Path) -> None:
    show(browser, tmp_path / "x.html", samples.full())
    body = browser.execute_script("return document.body.innerText")
    for said in (
        "2 of 5 targets pass", "openai-harmony 0.0.8", "15.2 %", "31 % under the best cited profile",
        "hf-model was not judged", "2 extra", "Reproduce with",
    ):  # fmt: skip
        assert said in body, said
    assert len(visible_cards(browser)) == len(samples.diverging().divergences)
    assert browser.execute_script("return document.querySelector('.card ins') !== null")
    assert browser.execute_script("return document.querySelector('.card .token').textContent").startswith(
        "<|"
    )


def test_filters_search_and_drill_down(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select, WebDriverWait

    show(browser, tmp_path / "x.html", samples.full())

    def wait_for(number: int) -> None:
        WebDriverWait(browser, 10).until(lambda _: len(visible_cards(browser)) == number)

    Select(browser.find_element(By.ID, "severity")).select_by_value("warning")
    wait_for(1)
    assert visible_cards(browser) == ["HT503 thinking-retention"]
    browser.find_element(By.CSS_SELECTOR, "#filters button").click()
    wait_for(6)
    browser.find_element(By.ID, "search").send_keys("be brief")
    wait_for(1)
    browser.execute_script("document.querySelector('#matrix td button').click()")
    wait_for(6)
    assert browser.execute_script("return document.getElementById('engine').value") == "transformers"
    browser.execute_script("document.querySelector('#rules td button').click()")
    wait_for(1)


def test_hostile_text_runs_nothing(browser: Any, tmp_path: Path) -> None:
    hostile = samples.hostile_target()
    example = replace(hostile.divergences[0].example, region=SCRIPT, failure=SCRIPT, structure=[SCRIPT])
    evil = replace(
        hostile, name=SCRIPT, aliases=[SCRIPT], engines=[SCRIPT], shapes=[SCRIPT],
        divergences=[replace(hostile.divergences[0], example=example, engines=[SCRIPT], features=[SCRIPT])],
    )  # fmt: skip
    report = samples.report(evil, left_out=[LeftOut(name=SCRIPT, reason=SCRIPT)])
    assert b"<script>window" not in html(report)
    show(browser, tmp_path / "x.html", report)
    assert browser.execute_script("return window.hacked === undefined && !document.querySelector('img')")
    assert "onerror=window.hacked" in browser.execute_script("return document.body.innerText")
    # And what got in all the same would be stopped by the policy.
    forged = "Object.assign(document.createElement('script'), {text: 'window.hacked = 1'})"
    browser.execute_script(f"document.body.append({forged})")
    assert browser.execute_script("return window.hacked === undefined")


@pytest.mark.parametrize("dark", [False, True])
def test_accessibility(dark: bool, tmp_path: Path) -> None:
    source = axe()
    if not source:
        pytest.skip("npm cannot fetch axe-core")
    driver = open_browser(dark=dark)
    if isinstance(driver, str):
        pytest.skip(driver)
    try:
        show(driver, tmp_path / "x.html", replace(samples.full(), precision=samples.precision()))
        assert driver.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches") is dark
        driver.execute_script(source)
        found = driver.execute_async_script("axe.run().then(arguments[0])")
        told = [
            (rule["id"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found["violations"]
        ]
        assert told == []
        assert len(found["passes"]) > 15
    finally:
        driver.quit()


def test_a_phone_scrolls_in_one_direction_only(browser: Any, tmp_path: Path) -> None:
    browser.set_window_size(500, 900)
    try:
        show(browser, tmp_path / "x.html", replace(samples.full(), precision=samples.precision()))
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        browser.set_window_size(1280, 1600)


@pytest.mark.long
def test_ten_thousand_divergences_are_shown_in_parts(browser: Any, tmp_path: Path) -> None:
    one = samples.default_comment()
    many = [replace(one, rule=f"rule-{number}", code=f"HT{number}") for number in range(10_000)]
    show(browser, tmp_path / "x.html", samples.report(samples.target("x", "diverges", many)))
    assert len(visible_cards(browser)) == 40
    browser.execute_script("document.getElementById('more').click()")
    assert len(visible_cards(browser)) == 80
    browser.execute_script("document.getElementById('search').value = 'HT9999'")
    browser.execute_script("document.getElementById('filters').dispatchEvent(new Event('submit'))")
    assert visible_cards(browser) == ["HT9999 rule-9999"]


def test_a_forged_token_is_marked_and_no_difference_is_made_up(browser: Any, tmp_path: Path) -> None:
    one = samples.divergence(
        "injected-special-token",
        samples.default_comment().example.case,
        "a<|start|>b",
        "a<|start|>b",
        share=0.1,
    )
    example = replace(one.example, offset=1, actual_offset=1, actual_part="<|start|>")
    forged = replace(one, check="tokens", example=example)
    show(browser, tmp_path / "x.html", samples.report(samples.target("x", "conforms", [forged])))
    nodes = "[...document.querySelectorAll('.diff dt, .diff del')]"
    texts = browser.execute_script(f"return {nodes}.map(n => n.textContent)")
    assert texts == ["template (the marked text is read as a control token)", "<|start|>"]


def test_what_was_handed_over_and_tokens_are_made_when_they_are_opened(browser: Any, tmp_path: Path) -> None:
    target = samples.diverging()
    first = target.divergences[0]
    tokens = [Token(id=200006, text="<|start|>"), Token(id=173781, text="assistant")]
    example = replace(
        first.example,
        handed={"messages": [{"role": "user", "content": SCRIPT}]},
        expected_tokens=tokens,
        actual_tokens=tokens[:1],
    )
    target = replace(target, divergences=[replace(first, example=example)])
    show(browser, tmp_path / "x.html", replace(samples.full(), targets=[target]))
    count = "return document.querySelectorAll('.folded > :not(summary)').length"
    assert browser.execute_script(count) == 0
    browser.execute_async_script(
        "document.querySelectorAll('.folded').forEach((n) => { n.open = true; }); setTimeout(arguments[0], 100)"
    )
    assert browser.execute_script(count) == 3
    text = browser.execute_script("return document.querySelector('.card').innerText")
    assert "200006" in text
    assert '"role":"user"' in text
    assert browser.execute_script("return window.hacked") is None


def test_a_precision_run_has_its_matrix_findings_plots_and_tables(browser: Any, tmp_path: Path) -> None:
    report = replace(samples.full(), targets=[], left_out=[], precision=samples.precision())
    show(browser, tmp_path / "x.html", report)
    text = browser.execute_script("return document.body.innerText")
    for said in (
        "MoE precision against float32", "Precision: 3 results judged, 1 unexpected", "✗ 3 results judged",
        "What nobody could expect", "alpha is 1.7", "conformance precision --preset tiny --kernel mine.py:moe",
        "What the declared formats imply: 1", "mine.py:moe (overflows at layer 2)", "policies on outlier rows",
        "refuted",
    ):  # fmt: skip
        assert said in text, said
    assert "Targets" not in text
    signs = "return [...document.querySelectorAll('.matrix td button')].map(n => n.textContent)"
    assert browser.execute_script(signs) == ["=", "✗!", "7"]
    browser.execute_script("document.querySelector('.matrix .bad button').click()")
    asked = browser.execute_script("return document.getElementById('asked').innerText")
    assert "down, chained" in asked
    assert "FAIL (unexpected)" in asked
    # Two curves and the reference's, two histograms of three bins: drawn here, without a library.
    assert browser.execute_script("return document.querySelectorAll('polyline').length") == 3
    assert browser.execute_script("return document.querySelectorAll('.panel .bin').length") == 6
    labels = "return [...document.querySelectorAll('.panel svg')].map(n => n.getAttribute('aria-label'))"
    assert browser.execute_script(labels)[1] == "mine.py:moe: 10 % up to 0.5, 50 % up to 1, 40 % up to 2"


def test_a_hostile_or_broken_precision_run_is_text(browser: Any, tmp_path: Path) -> None:
    show(browser, tmp_path / "x.html", replace(samples.full(), precision=samples.precision(SCRIPT)))
    assert browser.execute_script("return window.hacked === undefined && !document.querySelector('img')")
    assert "onerror=window.hacked" in browser.execute_script("return document.body.innerText")
    for broken in (
        {"rows": 5},
        {**samples.precision(), "depth": [{}]},
        {**samples.precision(), "rows": [{}]},
    ):
        show(browser, tmp_path / "x.html", replace(samples.full(), targets=[], precision=broken))
        assert "cannot be read" in browser.execute_script("return document.querySelector('h1').textContent")

"""The scoreboard as a site: an overview, a page for each template, and a badge for each, as plain files.

Nothing is asked of another server, and no script runs on the overview. GitHub Pages, or any folder behind a web server,
serves it as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from msgspec.structs import replace

from conformance.report.base import Output
from conformance.report.cards import percent
from conformance.report.html import write_html
from conformance.report.markdown import no_paths
from conformance.report.model import Report, Target
from conformance.report.repairs import Repairs
from conformance.report.scoreboard import authority_words, ranked, repaired_words, repairs_words
from conformance.report.verdicts import not_harmony, verdict
from conformance.report.visible import inert

_STYLE = """:root{color-scheme:light dark;--soft:#5a5d66;--line:#dedfe3}
@media (prefers-color-scheme:dark){:root{--soft:#a6a9b3;--line:#33363d}}
body{margin:0 auto;max-width:60rem;padding:1.5rem 1.25rem;font:1rem/1.55 system-ui,sans-serif;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.5rem .7rem .5rem 0;border-bottom:1px solid var(--line)}
td.number{text-align:right;
font-variant-numeric:tabular-nums;white-space:nowrap}p,th{color:var(--soft)}th,td.number,td+td{overflow-wrap:normal}th:nth-child(n+2):nth-child(-n+6){text-align:right}img{vertical-align:middle}"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'"
_COLOURS = ((1.0, "#2a7d4f"), (0.9, "#6b7f1e"), (0.5, "#a06a00"), (0.0, "#b3261e"))


def site_files(report: Report, output: Output, repairs: Repairs | str) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the site by their paths in it: `index.html`, `NAME.html` and `badges/NAME.svg`."""
    names = file_names(report)
    for target in report.targets:
        name = names[target.name, target.sha256]
        alone = replace(report, targets=[replace(target, name=no_paths(target.name))], left_out=[])
        yield f"{name}.html", write_html(alone, output)
        yield f"badges/{name}.svg", badge(target, report.run.profile).encode()
    yield "index.html", _index(report, names, repairs).encode()


def file_names(report: Report) -> dict[tuple[str, str], str]:
    """Return a file name for each target, by its name and hash: letters, digits, `-`, `_` and `.`, and none twice."""
    names: dict[tuple[str, str], str] = {}
    for target in report.targets:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", no_paths(target.name)).strip("-.")[:80] or "template"
        taken = {*names.values(), "index"}
        names[target.name, target.sha256] = plain if plain not in taken else f"{plain}-{target.sha256[:8]}"
    return names


def badge(target: Target, profile: str) -> str:
    """Return a badge as SVG: what share of the generated conversations is identical to Harmony's prompt."""
    share = target.right_under.get(profile)
    if target.verdict == "error":
        said, colour = "not judged", "#666"
    elif not target.harmony or share is None:
        said, colour = "not Harmony", "#666"
    else:
        said = "conforms" if target.verdict == "conforms" else percent(share)
        colour = next(colour for least, colour in _COLOURS if share >= least)
    label = "Harmony"
    left, right = (7 * len(text) + 14 for text in (label, said))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{label}: {escape(said)}"><title>{label}: {escape(said)}</title>'
        f'<rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{left / 2}" y="14">{label}</text>'
        f'<text x="{left + right / 2}" y="14">{escape(said)}</text></g></svg>\n'
    )


def _index(report: Report, names: dict[tuple[str, str], str], repairs: Repairs | str) -> str:
    profile = report.run.profile
    rows = "\n".join(
        _row(target, profile, names[target.name, target.sha256], repairs) for target in ranked(report)
    )
    repaired = escape(inert(no_paths(repairs_words(report, repairs))))
    judged = inert(f"Judged by {authority_words(report)}, profile {profile}, seed {report.run.seed}.")
    left = "".join(
        f"<li>{escape(inert(no_paths(one.name)))}: {escape(inert(no_paths(one.reason)))}</li>"
        for one in report.left_out
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Chat templates for gpt-oss against Harmony</title><style>{_STYLE}</style></head>
<body><h1>Chat templates for gpt-oss against Harmony</h1>
<p>How many generated stress conversations each public template renders exactly as OpenAI's library does.
{escape(judged)}</p>
<p>{repaired}</p>
<table><thead><tr><th scope="col">Template</th><th scope="col">Identical</th>
<th scope="col">In real use</th><th scope="col">Under cited readings</th>
<th scope="col">Rules</th><th scope="col">Repaired</th><th scope="col">Badge</th></tr></thead>
<tbody>
{rows}
</tbody></table>
{f"<h2>Left out</h2><ul>{left}</ul>" if left else ""}
</body></html>
"""


def _row(target: Target, profile: str, name: str, repairs: Repairs | str) -> str:
    shown, words = inert(no_paths(target.name)), inert(no_paths(verdict(target, profile)))
    read, used = target.right_under_readings, target.workload
    if target.harmony and target.cases.total > 0:
        cells = (
            f"{target.cases.equal:,} of {target.cases.total:,}",
            "" if used is None else percent(used.right_under.get(profile, 0.0)),
            "" if read is None else percent(read),
            f"{len({found.rule for found in target.divergences}):,}",
            repaired_words(target, repairs),
        )
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    else:
        numbers = f'<td colspan="5">{escape(inert(no_paths(not_harmony(target))))}</td>'
    return (
        f'<tr><td><a href="{name}.html">{escape(shown)}</a></td>{numbers}'
        f'<td><img src="badges/{name}.svg" alt="{escape(words)}"></td></tr>'
    )

"""What training learns: planted faults of the mask are errors of `check`, right masks are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.campaign.check import check
from conformance.campaign.mask import faults
from conformance.campaign.settings import Settings
from conformance.gate.exits import exit_code
from conformance.report.model import Divergence
from conformance.resources import resource
from conformance.sources import resolve
from conformance.template.mask_engine import Masked

TRAINING = resource("templates", "gpt-oss-training.jinja").read_text(encoding="utf-8")
USER = "{{- '<|start|>user' ~"
MARKED = "{%- generation -%}\n      {{- said[18:] -}}\n      {%- endgeneration -%}"
PLANTED = {
    "the user's text": (
        "text of others is trained on",
        "error",
        lambda text: text.replace(USER, "{%- generation -%}" + USER).replace(
            "'the content of a user message') ~ '<|end|>' -}}",
            "'the content of a user message') ~ '<|end|>' -}}{%- endgeneration -%}",
        ),
    ),
    "the end of turn": (
        "the end of turn is left out",
        "error",
        lambda text: text.replace(
            "{{- said[18:] -}}", "{{- said[18:-7] -}}{%- endgeneration -%}{{- said[-7:] -}}", 1
        ).replace("{%- endgeneration -%}\n", "", 1),
    ),
    "the beginning of what is said": (
        "text of the assistant is left out",
        "error",
        lambda text: text.replace("{{- said[:18] -}}", "{{- said[:60] -}}").replace("said[18:]", "said[60:]"),
    ),
    "the header": (
        "the generation prompt is trained on",
        "warning",
        lambda text: text.replace("{{- said[:18] -}}", "").replace("said[18:]", "said"),
    ),
}


def _masks(text: str, tmp_path: Path, name: str = "t.jinja") -> tuple[list[Divergence], int]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    report = check(resolve(str(path)), Settings(cases=120))
    (target,) = report.targets
    return [found for found in target.divergences if found.check == "mask"], exit_code(report)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name != "the user's text")) for name in PLANTED]
)
def test_a_fault_of_the_mask_is_found_and_shrunk(name: str, tmp_path: Path) -> None:
    region, severity, plant = PLANTED[name]
    planted = plant(TRAINING)
    assert planted != TRAINING
    (found,), code = _masks(planted, tmp_path)
    assert (found.code, found.severity) == ("HT819", severity)
    assert found.example.region.startswith(region)
    assert found.example.minimal
    assert len(found.example.case.conversation.messages) <= 2
    assert found.example.template_line is not None
    assert code == (1 if severity == "error" else 0)


def test_the_reference_for_training_has_the_right_mask(tmp_path: Path) -> None:
    assert _masks(TRAINING, tmp_path) == ([], 0)


def test_a_template_for_training_without_marks_is_told_so(tmp_path: Path) -> None:
    plain = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
    (found,), code = _masks(plain, tmp_path, "gpt-oss-training.jinja")
    assert (found.rule, found.severity, code) == ("generation-marks-missing", "note", 0)
    assert _masks(plain, tmp_path, "gpt-oss.jinja") == ([], 0)


def test_headers_between_the_assistants_own_messages_may_be_learned() -> None:
    said = "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>"
    text = f"<|start|>user<|message|>q<|end|><|start|>assistant{said}"
    assert list(faults(Masked(text, [(len(text) - len(said), len(text))]))) == []
    assert [fault.what for fault in faults(Masked(text, []))] == ["text of the assistant is left out"] * 2

import json

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from conformance.conversation import case_id
from conformance.errors import UsageError
from conformance.report import json_file
from conformance.report.base import Output, formats, register, writer
from conformance.report.cards import replay_command
from conformance.report.model import report_schema

from . import samples
from .strategies import reports


@pytest.mark.parametrize(
    "report", [samples.report(), samples.full(), samples.report(samples.hostile_target())]
)
def test_reports_validate_against_the_published_schema(tmp_path, report):
    path = json_file.write(report, tmp_path / "new" / "folder")
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text("utf-8")))


def test_the_schema_notices_a_wrong_report():
    broken = json.loads(json_file.encode(samples.full()))
    broken["targets"][0]["verdict"] = "fine"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(report_schema()).validate(broken)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(report=reports)
def test_what_is_written_is_read_back(tmp_path_factory, report):
    path = json_file.write(report, tmp_path_factory.getbasetemp() / "round-trip")
    assert json_file.read(path) == report
    assert json_file.read(path.parent) == report


def test_cases_keep_their_id_and_key_order(tmp_path):
    report = json_file.read(json_file.write(samples.full(), tmp_path))
    for divergence in report.targets[0].divergences:
        assert case_id(divergence.example.case) == divergence.example.case_id


def test_the_bytes_are_the_same_each_time_and_end_in_a_newline():
    assert json_file.encode(samples.full()) == json_file.encode(samples.full())
    assert json_file.encode(samples.full()).startswith(b'{\n  "schema": "conformance-report/1",\n')
    assert json_file.encode(samples.full()).endswith(b"}\n")


def test_half_surrogate_pairs_become_replacement_characters(tmp_path):
    report = samples.report(samples.hostile_target())
    read = json_file.read(json_file.write(report, tmp_path)).targets[0].divergences[0].example
    wrote = report.targets[0].divergences[0].example
    assert "\ud800" in wrote.actual
    assert read.actual == wrote.actual.replace("\ud800", "\ufffd")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a report"),
        (b'{"schema": "conform', "is not a report"),
        (b"[]", "is not a report"),
        (b'{"schema": "\xff"}', "is not a report"),
        (b"{}", "it has no schema"),
        (b'{"schema": "conformance-report/2"}', "this version reads conformance-report/1 only"),
        (b'{"schema": "conformance-report/1"}', "is a broken report"),
        (b"[" * 100_000, "is not a report"),
    ],
)
def test_broken_files_are_told_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        json_file.read(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_an_unwritable_folder(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        json_file.read(tmp_path / "none.json")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="choose another --output"):
        json_file.write(samples.full(), tmp_path / "file" / "below")
    with pytest.raises(UsageError, match="choose another --output"):
        json_file.write(samples.full(), tmp_path / "file")


def test_a_failed_write_leaves_the_old_report_and_no_litter(tmp_path):
    (tmp_path / "report.json").mkdir()
    with pytest.raises(UsageError, match=r"report\.json"):
        json_file.write(samples.full(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_examples_are_found_by_the_beginning_of_their_id():
    report = samples.full()
    wanted = samples.default_comment().example.case_id
    target, divergence = json_file.find_example(report, wanted[:5])
    assert (target.name, divergence.rule) == ("openai-gpt-oss-120b", "default-comment-placement")
    assert json_file.find_example(report, wanted, "openai-gpt-oss-120b")[1] == divergence
    with pytest.raises(UsageError, match="has no case"):
        json_file.find_example(report, "zzz")
    with pytest.raises(UsageError, match="has no case"):
        json_file.find_example(report, "")
    with pytest.raises(UsageError, match="has no target"):
        json_file.find_example(report, wanted, "nobody")


def test_an_ambiguous_beginning_lists_the_ids():
    crash = samples.crash()
    other = msgspec.structs.replace(
        crash, example=msgspec.structs.replace(crash.example, case_id=crash.example.case_id[:4] + "ffff")
    )
    report = samples.report(samples.target("t", "diverges", [crash, other]))
    with pytest.raises(UsageError, match=r"fits several cases: .*ffff"):
        json_file.find_example(report, crash.example.case_id[:4])


def test_one_case_in_two_shapes_is_found_by_its_shape():
    crash = samples.crash()
    example = msgspec.structs.replace(crash.example, shape="parts")
    other = msgspec.structs.replace(crash, rule="role-header", example=example)
    name = crash.example.case_id
    target = samples.target("t", "diverges", [crash, other])
    report = samples.report(target)
    with pytest.raises(UsageError, match=r"several shapes: .*parts; add --shape"):
        json_file.find_example(report, name)
    assert json_file.find_example(report, name, shape="parts")[1] == other
    assert replay_command(other, "t", target) == f"conformance replay {name} --target t --shape parts"
    assert replay_command(other, "t") == f"conformance replay {name} --target t"


def test_writers_are_found_by_format(tmp_path):
    assert {"terminal", "json"} <= set(formats())
    assert writer("json")(samples.full(), Output(folder=tmp_path)) == json_file.encode(samples.full())
    with pytest.raises(UsageError, match=r"no report format 'yaml'; choose from .*json"):
        writer("yaml")


def test_a_format_is_taken_once():
    def write(report, output):
        return None

    write.__module__ = "elsewhere"
    writer("json")
    with pytest.raises(ValueError, match="registered twice"):
        register("json")(write)

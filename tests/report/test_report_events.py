import json

import pytest

from conformance.errors import UsageError
from conformance.report.events import SCHEMA, EventLog, Header, read_events

from . import samples


def header(*targets):
    report = samples.full()
    return Header(
        tool=report.tool, environment=report.environment, seed=1, profile="harmony", targets=list(targets)
    )


def write(path, *targets, header_targets=None):
    with EventLog(path, header(*(header_targets or [target.name for target in targets]))) as log:
        for target in targets:
            log.target_started(target.name, target.sha256, 2000)
            for divergence in target.divergences:
                log.divergence_found(target.name, divergence)
            log.target_finished(target)
        log.note("hf-model was left out\nno network")


def test_a_whole_run_is_read_back(tmp_path):
    targets = [samples.diverging(), samples.conforming()]
    write(tmp_path / "new" / "events.jsonl", *targets)
    summary = read_events(tmp_path / "new")
    assert summary.header.profile == "harmony"
    assert summary.targets == targets
    assert set(summary.divergences["openai-gpt-oss-120b"]) == {d.rule for d in targets[0].divergences}
    assert summary.notes == ["hf-model was left out\nno network"]
    assert (summary.complete, summary.truncated, summary.unfinished) == (True, False, [])
    assert not summary.passed


def test_only_a_whole_run_of_conforming_targets_passes(tmp_path):
    path = tmp_path / "events.jsonl"
    write(path, samples.conforming())
    assert read_events(path).passed
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            summary = read_events(path)
        except UsageError:
            # Not even the header is whole.
            assert end < whole.index(b"\n") + 1
        else:
            assert summary.truncated
            assert not summary.passed


def test_every_line_is_an_event_and_flushed_at_once(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path, header("evil")) as log:
        assert json.loads(path.read_text())["schema"] == SCHEMA
        log.target_finished(samples.hostile_target())
        lines = path.read_bytes().split(b"\n")
        assert [json.loads(line)["event"] for line in lines[:-1]] == ["header", "target-finished"]
        assert read_events(path).truncated


@pytest.mark.parametrize(
    ("error", "reason"),
    [(KeyboardInterrupt, "interrupted"), (ZeroDivisionError, "ended by ZeroDivisionError")],
)
def test_the_footer_is_written_whatever_ends_the_run(tmp_path, error, reason):
    path = tmp_path / "events.jsonl"

    def run():
        with EventLog(path, header("a")) as log:
            log.divergence_found("a", samples.crash())
            raise error

    with pytest.raises(error):
        run()
    summary = read_events(path)
    assert (summary.complete, summary.truncated, summary.reason) == (False, False, reason)
    assert summary.unfinished == ["a"]
    assert list(summary.divergences["a"]) == ["template-crashed"]


def test_a_run_is_complete_only_when_every_target_finished(tmp_path):
    write(tmp_path / "events.jsonl", samples.conforming(), header_targets=["gpt-oss", "other"])
    summary = read_events(tmp_path)
    assert (summary.complete, summary.passed) == (False, False)
    assert summary.reason == "not finished: other"


def test_a_run_that_ran_out_of_time_says_so(tmp_path):
    with EventLog(tmp_path, header("gpt-oss")) as log:
        log.target_finished(samples.conforming())
        log.incomplete("time was up")
    summary = read_events(tmp_path)
    assert (summary.complete, summary.reason, summary.passed) == (False, "time was up", False)


def test_a_lost_line_in_the_middle_is_truncation(tmp_path):
    path = tmp_path / "events.jsonl"
    write(path, samples.conforming())
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], *lines[2:]]))
    assert read_events(path).truncated
    assert not read_events(path).passed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", None),
        (b"not json\n", "line 1"),
        (b'{"schema": "conformance-events/2"}\n', "its schema is 'conformance-events/2'"),
        (b'{"event": "note", "text": "x"}\n', "its schema is None"),
        (b"[1]\n{}\n", "line 1"),
    ],
)
def test_files_that_are_no_event_log(tmp_path, content, message):
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    if message is None:
        assert read_events(path).truncated
        return
    with pytest.raises(UsageError, match=message):
        read_events(path)


def test_broken_lines_before_the_last(tmp_path):
    path = tmp_path / "events.jsonl"
    write(path, samples.conforming())
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], b'{"event": "unknown"}', *lines[1:]]))
    with pytest.raises(UsageError, match="broken event log: line 2"):
        read_events(path)


def test_unwritable_and_missing_files(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match="choose another --output"),
        EventLog(tmp_path / "file" / "events.jsonl", header()),
    ):
        pass
    with pytest.raises(UsageError, match="no such file"):
        read_events(tmp_path / "none.jsonl")

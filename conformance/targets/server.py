"""A running server as a target: recognised, asked what it is, its clock read, its requests shown as curl lines."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec

from conformance.engines.base import Crashed, Refused, Rendered, Request
from conformance.errors import UnjudgedError, UsageError, printable
from conformance.servers.base import About, ServerProtocol
from conformance.servers.client import Access, Client
from conformance.servers.host import ServerHost
from conformance.servers.protocols import get_protocol, recognise
from conformance.sources import manifest, resolve
from conformance.targets.base import Group

_DAY = re.compile(r"^Current date: (\d{4}-\d\d-\d\d)$", re.MULTILINE)


class ServerSource(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked: where, in which protocol, and what the server says of itself.

    `template` says in words which template it uses, `template_sha256` is the hash of that text.
    """

    kind: str = "server"
    location: str
    protocol: str
    version: str
    model: str | None
    template: str | None
    template_sha256: str | None
    date: str


class ServerTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A running server, as a campaign judges it."""

    name: str
    sha256: str
    source: ServerSource
    protocol: ServerProtocol
    body: Callable[[Request], bytes]
    key_variable: str | None
    text: str | None = None
    harmony: bool | None = None

    def reproduce(self, request: Request) -> str:
        """Return the curl line that asks for this request's prompt; a key stands in it as a variable."""
        body = msgspec.json.decode(self.body(request))
        return curl(self.source.location.rstrip("/") + self.protocol.path, body, self.key_variable)


def curl(url: str, body: object, key_variable: str | None) -> str:
    """Return a command line that can be pasted: ASCII, one line, the key as a variable."""
    import json

    key = f' -H "Authorization: Bearer ${key_variable}"' if key_variable else ""
    return f"curl -s {shlex.quote(url)}{key} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"


def open_server(access: Access, *, server: str | None = None, model: str | None = None) -> Group:
    """Recognise a server and make ready to judge it.

    Raises GoneError when nothing answers, UnjudgedError when it cannot be asked for prompts, UsageError for a
    protocol or an address that is none.
    """
    client = Client(access)
    try:
        protocol = get_protocol(server) if server else recognise(client)
        about = protocol.about(client)
        if model is not None:
            about = About(about.version, model, about.template, about.model_file)
        host = ServerHost(protocol, client, about, model=model)
        try:
            today = _today(host)
        except BaseException:
            host.close()
            raise
    except BaseException:
        client.close()
        raise
    name = access.address.rstrip("/")
    template = about.template
    source = ServerSource(
        location=name,
        protocol=protocol.name,
        version=printable(about.version or "unknown", 80),
        model=None if about.model is None else printable(about.model, 200),
        template=None if template is None else _whose(about, template),
        template_sha256=None
        if template is None
        else hashlib.sha256(template.encode("utf-8", "replace")).hexdigest(),
        date=today,
    )
    target = ServerTarget(
        name=name,
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        source=source,
        protocol=protocol,
        body=host.body,
        key_variable=access.key_variable if access.key else None,
    )
    return Group([target], {protocol.name: host}, protocol.shapes, today, host.close)


def _today(host: ServerHost) -> str:
    """Return the day that the server's clock shows: in its prompt, where that day is near ours, else ours.

    Raises UnjudgedError when it makes no prompt of the plainest request.
    """
    now = datetime.now(UTC).date()
    request = Request([{"role": "user", "content": "Hi"}], None, {}, True, now.isoformat())
    outcome = host.render(request)
    if isinstance(outcome, Crashed | Refused):
        raise UnjudgedError(
            f"{host.client.base} makes no prompt of the plainest request (protocol {host.protocol.name}): "
            f"{outcome.message}."
        )
    found = _DAY.search(outcome.text) if isinstance(outcome, Rendered) else None
    if found is not None:
        try:
            said = date.fromisoformat(found[1])
        except ValueError:
            return now.isoformat()
        # A day further off is no clock: the template has it written in it.
        if abs(said - now) <= timedelta(days=1):
            return said.isoformat()
    return now.isoformat()


def _whose(about: About, template: str) -> str:
    """Say which template a server really uses: a known one, and whether it is that of the model's file."""
    sha256 = hashlib.sha256(template.encode("utf-8", "replace")).hexdigest()
    known = manifest.by_hash(sha256)
    words = f"{known[0].name} of the catalogue" if known else f"{sha256[:12]} (not in the catalogue)"
    own = _templates_of(about.model_file)
    if own:
        same = any(text.rstrip("\n") == template.rstrip("\n") for text in own)
        words += ", the model file's own" if same else ", not the model file's own"
    return words


def _templates_of(model_file: str | None) -> list[str]:
    """Return the templates in the server's model file, where it lies on this machine and can be read."""
    if model_file is None or not Path(model_file).is_file():
        return []
    try:
        return [template.text for template in resolve(model_file, offline=True)]
    except UsageError:
        return []

"""`conformance doctor`: what works here, and how to get the rest."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform

from rich.table import Table
from rich.text import Text

from conformance import __version__
from conformance.cli.console import new_console
from conformance.cli.runs import runs_folder
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, ConformanceError
from conformance.renderers.known import Known
from conformance.report.terminal import TerminalWriter
from conformance.sources import catalogue

# Those that come with the package; the others are extras, and nothing is broken without them.
_REQUIRED_ENGINES = ("transformers", "jinja2")
_REINSTALL = "python -m pip install --force-reinstall --no-deps"


def doctor() -> int:
    """Say what works here and how to get the rest."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("part", "state", "detail"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "detail")
    broken = False
    for name, state, detail in [
        *_tool(),
        *_oracle(),
        *_engines(),
        *_servers(),
        *_confinement(),
        *_packages(),
        *_gpu(),
    ]:
        style = {"ok": "green", "missing": "bold red", "broken": "bold red"}.get(state, "yellow")
        broken |= state in ("missing", "broken")
        table.add_row(name, Text(state, style), detail)
    TerminalWriter(new_console()).print(table)
    return EXIT_UNJUDGED if broken else EXIT_CONFORMS


def _tool() -> list[tuple[str, str, str]]:
    where = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return [("conformance", "ok", f"{__version__} on {where}; runs are kept in {runs_folder()}")]


def _oracle() -> list[tuple[str, str, str]]:
    from conformance.oracles import vocabulary
    from conformance.oracles.load import authority

    rows = []
    try:
        origin = vocabulary.prepare().origin
        rows.append(("vocabulary", "ok", f"o200k_base, sha256 {vocabulary.SHA256[:12]}, from {origin}"))
        judge = authority().authority
        words = (
            f"{judge}, of the package {judge.distribution}, sha256 {judge.sha256[:12]}, "
            f"renders {judge.renders[:12]}"
        )
        rows.append(("authority", "ok", words))
    except ConformanceError as error:
        rows.append(("authority" if rows else "vocabulary", "missing", str(error)))
    return [*rows, *_module()]


def _module() -> list[tuple[str, str, str]]:
    """Say whose the installed module is, and how to repair it where several packages installed it."""
    from conformance.oracles.authorities import MODULE
    from conformance.oracles.installed import installed

    here = installed(all_claims=True)
    if here is None:
        return [(f"module {MODULE}", "optional", "not installed")]
    if not here.distribution:
        claims = f"; claimed by {' and '.join(here.claims)}" if here.claims else ""
        return [(f"module {MODULE}", "altered", f"{here.folder} matches no package's record{claims}")]
    others = [claim for claim in here.claims if claim != str(here)]
    if not others:
        return [(f"module {MODULE}", "ok", f"{here}, the only package that claims it")]
    names = [claim.partition(" ")[0] for claim in others]
    back = " or ".join(f"`{_REINSTALL} {claim.replace(' ', '==')}`" for claim in others)
    detail = (
        f"claimed by {' and '.join(here.claims)}; the files are those of {here}, which was installed last. To keep "
        f"that one alone: `python -m pip uninstall -y {' '.join(names)}`, then `{_REINSTALL} "
        f"{here.distribution}=={here.version}`. To give a program that needs another its files back: {back}. "
        "This tool itself is best installed by `pipx install` or run by `uvx`, apart from both"
    )
    return [(f"module {MODULE}", "contested", detail)]


def _engines() -> list[tuple[str, str, str]]:
    from conformance.engines import engine_names, get_engine

    rows = []
    for name in engine_names():
        engine = get_engine(name)
        reason = engine.available()
        missing = "missing" if name in _REQUIRED_ENGINES else "optional"
        rows.append(
            (f"engine {name}", missing, reason) if reason else (f"engine {name}", "ok", engine.version())
        )
    return rows


def _confinement() -> list[tuple[str, str, str]]:
    from conformance.engines import confinement

    walls = " and ".join(confinement.walls())
    if not (unguarded := confinement.unguarded()):
        return [("confinement", "ok", f"{walls} keep workers from the user's files, processes and network")]
    way_out = "Linux 6.12 or newer with Landlock and seccomp closes all of it"
    return [("confinement", "partly", f"workers are not kept from {', '.join(unguarded)}; {way_out}")]


def _servers() -> list[tuple[str, str, str]]:
    from conformance.renderers.environments import installed
    from conformance.renderers.known import known
    from conformance.servers import llama_local

    reason = llama_local.available()
    rows = [
        ("llama-server", "optional", reason)
        if reason
        else ("llama-server", "ok", llama_local.package_version())
    ]
    for entry in known().values():
        here = installed(entry)
        hint = f"{entry}: `conformance renderers fetch {entry.name}` ({entry.size})"
        rows.append(
            (f"renderer {entry.name}", "optional", hint) if here is None else _renderer(entry, here.own)
        )
    return rows


def _renderer(entry: Known, own: bool) -> tuple[str, str, str]:
    served = "; its render server can be started, `nox -s servers` does" if entry.name == "vllm" else ""
    where = "" if own else ", in an environment of yours"
    return (f"renderer {entry.name}", "ok", f"{entry}{where}{served}")


def _packages() -> list[tuple[str, str, str]]:
    known = list(catalogue.entries())
    cached = sum(catalogue.is_cached(entry.name) for entry in known)
    state = "ok" if cached == len(known) else "partly"
    hint = "" if state == "ok" else "; `conformance templates fetch` gets the rest"
    return [
        ("catalogue", state, f"{cached} of {len(known)} templates cached{hint}"),
        ("gguf", "ok", f"gguf {_version('gguf')}"),
    ]


def _gpu() -> list[tuple[str, str, str]]:
    if importlib.util.find_spec("torch") is None:
        return [("precision", "optional", 'pip install "chat-template-conformance[precision]"')]
    import torch

    if not torch.cuda.is_available():
        return [("precision", "optional", f"torch {torch.__version__} without a GPU: runs small on the CPU")]
    return [("precision", "ok", f"torch {torch.__version__} on {torch.cuda.get_device_name(0)}")]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"

"""Find an authority and load it: the installed library where it is the right one, else a copy of this project's own.

`authority` never touches the network. `obtain` fetches what is missing; a command calls it before its work begins.
"""

from __future__ import annotations

from conformance.errors import UnjudgedError, UsageError, printable
from conformance.oracles import copies, golden, vocabulary
from conformance.oracles.authorities import DEFAULT, MODULE, Authority, Pinned, find, known_as, pinned
from conformance.oracles.installed import Installed, installed
from conformance.oracles.library import InProcess, Library, Separate

_loaded: dict[str, Library] = {}


class MissingAuthorityError(UnjudgedError):
    """An authority is not here; `fetch` says whether a copy may be fetched without asking.

    It may not where an unknown or altered library stands in its place: somebody has to look at that first.
    """

    def __init__(self, message: str, *, fetch: bool) -> None:
        super().__init__(message)
        self.fetch = fetch


def authority(name: str = DEFAULT) -> Library:
    """Return the authority of this name, loaded once a process and recognised by what it renders.

    The default is the installed library where that is OpenAI's, in this process; every other one is a copy of this
    project's own in a process of its own, so that several can judge in one run.
    Raises UsageError when none has this name, UnjudgedError when it cannot be had or is not what it should be.
    """
    if name not in _loaded:
        entry = find(name)
        vocabulary.prepare()
        problem: MissingAuthorityError | None = None
        try:
            library = _installed(entry) if name == DEFAULT else None
        except MissingAuthorityError as error:
            library, problem = None, error
        library = library or _copy(entry)
        if library is None:
            raise problem or MissingAuthorityError(
                f"The authority {_title(entry)} is not in the cache; run `conformance authorities fetch {name}`.",
                fetch=True,
            )
        _loaded[name] = library
    return _loaded[name]


def tokenizer() -> Library:
    """Return a library for what all of them do alike, tokens and text: the first one loaded, else the default."""
    return next(iter(_loaded.values()), None) or authority()


def obtain(name: str = DEFAULT, *, offline: bool = False) -> bool:
    """Make sure that an authority is here, and fetch its copy where it has to; return whether it was fetched.

    The installed library at the version that is pinned is not loaded yet: it is while engines load, with the first
    question. Raises UsageError when none has this name, UnjudgedError, saying what to do, when it cannot be had.
    """
    here = installed() if name == DEFAULT and name not in _loaded else None
    if here is not None and known_as(here.distribution, here.version) == DEFAULT:
        return False
    try:
        authority(name)
    except MissingAuthorityError as error:
        if offline or not error.fetch:
            raise
        try:
            copies.fetch(find(name))
        except UsageError as why:
            raise UnjudgedError(f"{error} Fetching it failed: {why}.") from None
        authority(name)
        return True
    return False


def _installed(entry: Pinned) -> Library:
    """Return the installed library as the default authority.

    Raises MissingAuthorityError where it is not that.
    """
    here = installed()
    if here is None:
        raise MissingAuthorityError(
            f"OpenAI's Harmony library is not installed here; {_way_out(entry)}.", fetch=True
        )
    if here.distribution != entry.distribution:
        raise MissingAuthorityError(_another(entry, here), fetch=here.distribution in _distributions())
    if known_as(here.distribution, here.version) in (None, DEFAULT):
        try:
            library = InProcess()
            rendered = golden.renders(library)
        except Exception as error:  # a broken module or vocabulary reports in its own way
            raise MissingAuthorityError(
                f"{here} cannot be loaded ({printable(str(error), 200)}); {vocabulary.WAY_OUT}.", fetch=False
            ) from None
        if rendered != entry.renders:
            raise MissingAuthorityError(
                f"{here} is installed and renders otherwise than {_title(entry)}, so that its word cannot be taken "
                f"for Harmony's; {_way_out(entry)}.",
                fetch=False,
            )
        if library.lenient:
            library.authority = Authority(
                name=entry.name,
                version=here.version,
                distribution=here.distribution,
                sha256=here.sha256,
                renders=rendered,
                origin="installed",
            )
            return library
    raise MissingAuthorityError(
        f"{here} is installed, which is older than {_title(entry)}; {_way_out(entry)}.", fetch=True
    )


def _copy(entry: Pinned) -> Library | None:
    """Return an authority from this project's own copy; None when there is none."""
    folder = copies.copy_of(entry)
    if folder is None:
        return None
    library = Separate(_title(entry), folder)
    rendered = golden.renders(library)
    if rendered != entry.renders:
        library.close()
        raise UnjudgedError(
            f"The copy of {_title(entry)} in {folder} renders otherwise than it did when it was pinned; "
            "report this, with your platform and the version of this project."
        )
    library.authority = Authority(
        name=entry.name,
        version=entry.version,
        distribution=entry.distribution,
        sha256=copies.sha256_of(folder),
        renders=rendered,
        origin="own copy",
    )
    return library


def _another(entry: Pinned, here: Installed) -> str:
    """Say that the installed module is not the default authority's."""
    if here.distribution in _distributions():
        return f"The installed module {MODULE} is that of {here}, not of {entry.distribution}; {_way_out(entry)}."
    claims = f", though {' and '.join(here.claims)} claims it" if here.claims else ""
    return (
        f"The installed module {MODULE} in {here.folder} is {here}{claims}: no package's record has its files, and it "
        f"is no authority; {_way_out(entry)}."
    )


def _distributions() -> set[str]:
    return {entry.distribution for entry in pinned().values()}


def _title(entry: Pinned) -> str:
    return f"{entry.distribution} {entry.version}"


def _way_out(entry: Pinned) -> str:
    return (
        f"run `conformance authorities fetch {entry.name}` for a copy of this project's own, which leaves your "
        "installation alone, or, where nothing else needs the module, "
        f"`python -m pip install --force-reinstall --no-deps {entry.distribution}=={entry.version}`"
    )

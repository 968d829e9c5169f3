"""Templates of a model on the Hugging Face Hub: only the small files that can carry one are fetched."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.errors import UsageError
from conformance.sources.base import SourceSettings, Template, register
from conformance.sources.model_folder import (
    JINJA_FILE,
    JSON_FILES,
    PACKAGE_FILES,
    folder_templates,
    is_template_file,
    size_limit,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SCHEME = "hf://"
_TARGET = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^\s@]+))?", re.ASCII)
_MAX_NAMED = 64


class _UnreachableError(Exception):
    """The Hub did not answer."""


@register
class HubSource:
    """`hf://org/name` or `hf://org/name@revision`.

    The files land in huggingface_hub's own cache (in `huggingface/` of the cache folder if one is given), so
    that what transformers has fetched already is found offline. HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE
    count as usual.
    """

    name = "hub"

    def claims(self, target: str) -> bool:
        """Return whether the target begins with `hf://`."""
        return target.startswith(SCHEME)

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        """Return the repository's templates, the default first.

        Raises UsageError if the Hub is out of reach and the cache has nothing, if there is no such
        repository or revision, if it is gated, or if it has no template.
        """
        match = _TARGET.fullmatch(target)
        if match is None:
            raise UsageError(f"{target} is no Hub target; write hf://org/name or hf://org/name@revision")
        repo, revision = match["repo"], match["revision"]

        from huggingface_hub import HfApi, constants  # half a second
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()  # for files of some kB they only disturb our own

        # Read here, not by huggingface_hub when it is imported, so that a caller can still set it.
        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="chat-template-conformance")
        cache = settings.cache / "huggingface" if settings.cache is not None else None
        licence, note = None, None
        if settings.offline or constants.HF_HUB_OFFLINE:
            folder = _cached(target, repo, revision, cache, "the network is switched off")
        else:
            try:
                folder, licence = _download(api, target, repo, revision, cache)
            except _UnreachableError as error:
                folder = _cached(target, repo, revision, cache, f"the Hub cannot be reached ({error})")
                note = "from the local cache: the Hub could not be reached"
        return folder_templates(
            folder,
            target,
            kind="hub",
            name=repo.replace("/", "-"),
            revision=folder.name,
            licence=licence,
            note=note,
        )


def _download(
    api: HfApi, target: str, repo: str, revision: str | None, cache: Path | None
) -> tuple[Path, str | None]:
    """Fetch the files that can carry a template; return the snapshot's folder and the model's licence."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = api.model_info(repo, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        wanted = sorted(name for name in sizes if is_template_file(name))
        if not wanted:
            raise UsageError(f"{target} has no file that carries a chat template{_gguf_hint(list(sizes))}")
        # The package checks look at these; without a template nothing is judged.
        wanted += sorted(name for name in sizes if name in PACKAGE_FILES and sizes[name] <= size_limit(name))
        if len(wanted) > _MAX_NAMED:
            raise UsageError(
                f"{target} has {len(wanted)} template files; more than {_MAX_NAMED} are not read"
            )
        for name in wanted:
            if sizes[name] > size_limit(name):
                raise UsageError(f"{name} in {target} has {sizes[name]} bytes, far more than such files need")
        paths = [
            # By the revision as given, so that the cache learns what it points to and works offline later.
            (name, Path(api.hf_hub_download(repo, name, revision=revision, cache_dir=cache)))
            for name in wanted
        ]
    except GatedRepoError as error:
        raise UsageError(
            f"{target} is gated: accept its terms on the Hub and log in with `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"{target}: the Hub has no such model, or it is private; check the name or `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise UsageError(f"{target}: the model has no such revision; check the part after @") from error
    except HFValidationError as error:
        raise UsageError(f"{target} is no Hub target: {error}") from error
    except UsageError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status is not None and status < 500:
            raise UsageError(
                f"{target}: the Hub refused with HTTP status {status}; check HF_TOKEN"
            ) from error
        raise _UnreachableError(f"HTTP status {status}") from error
    except Exception as error:
        # huggingface_hub's versions raise the errors of requests, httpx and httpx2, none of which we import.
        raise _UnreachableError(type(error).__name__) from error
    folders = {path.parents[len(Path(name).parts) - 1] for name, path in paths}
    if len(folders) != 1:
        raise UsageError(f"{target} was changed while it was being read; try again")
    licence = getattr(info.card_data, "license", None) if info.card_data else None
    return folders.pop(), licence if isinstance(licence, str) else None


def _cached(target: str, repo: str, revision: str | None, cache: Path | None, why: str) -> Path:
    """Return the folder of a snapshot that was fetched before, by us or by transformers."""
    folder = _snapshot(repo, revision, cache)
    if folder is not None:
        return folder
    raise UsageError(
        f"{target}: {why} and it is not in the local cache; fetch it once with the network, "
        "or give the model folder instead"
    )


def snapshot(target: str, revision: str | None, cache: Path | None = None) -> Path | None:
    """Return the folder in which a Hub target's files were kept when it was loaded; None when they are gone."""
    match = _TARGET.fullmatch(target)
    return None if match is None else _snapshot(match["repo"], revision, cache)


def _snapshot(repo: str, revision: str | None, cache: Path | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for name in (JINJA_FILE, *JSON_FILES):
        path = try_to_load_from_cache(repo, name, cache_dir=cache, revision=revision)
        if isinstance(path, str):
            return Path(path).parent
    return None


def _gguf_hint(names: list[str]) -> str:
    first = min((name for name in names if name.lower().endswith(".gguf")), default=None)
    return f", only GGUF files; download one (such as {first}) and give its path" if first else ""

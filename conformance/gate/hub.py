"""A model folder as it goes to the Hugging Face Hub, in one commit."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import UsageError
from conformance.sources.inside import open_inside

CARD = "README.md"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_MOST_CARD = 2**20


@dataclass(frozen=True, slots=True)
class Upload:
    """What is uploaded where; `files` are paths below the folder, links out of it not among them."""

    folder: Path
    repo: str
    files: tuple[str, ...]
    revision: str | None
    create_pr: bool
    private: bool

    @staticmethod
    def of(folder: Path, repo: str, *, revision: str | None, create_pr: bool, private: bool) -> Upload:
        """List a folder's files; raises UsageError for a wrong name, and for a link that would publish another file."""
        if not _REPO.fullmatch(repo):
            raise UsageError(f"{repo!r} is no repository on the Hub; write ORG/NAME.")
        found: list[str] = []
        for place, folders, names in os.walk(folder):
            inside_cache = Path(place).name == ".cache"
            folders[:] = sorted(
                name for name in folders if name != ".git" and not (inside_cache and name == "huggingface")
            )
            linked = [name for name in folders if (Path(place) / name).is_symlink()]
            if linked:
                raise UsageError(
                    f"{Path(place) / linked[0]} is a link to a folder; put the folder itself there."
                )
            found += [(Path(place) / name).relative_to(folder).as_posix() for name in sorted(names)]
        for name in found:
            try:
                open_inside(folder / name, str(folder / name), folder).close()
            except OSError as error:
                raise UsageError(f"cannot read {folder / name}: {error.strerror or error}") from error
        return Upload(folder, repo, tuple(found), revision, create_pr, private)

    def readme(self) -> str:
        """Return the folder's model card, empty where it has none; raises UsageError when it is no UTF-8."""
        if CARD not in self.files:
            return ""
        with open_inside(self.folder / CARD, str(self.folder / CARD), self.folder) as file:
            data = file.read(_MOST_CARD + 1)
        if len(data) > _MOST_CARD:
            raise UsageError(f"{self.folder / CARD} is larger than 1 MB, which no model card needs.")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{self.folder / CARD} is not UTF-8 at byte {error.start}; save it so."
            ) from None


def send(upload: Upload, readme: str | None) -> str:
    """Upload a folder in one commit, with `readme` as its model card where one is given; return the address.

    Raises UsageError when the Hub refuses it or cannot be reached: nothing is committed then.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    # What huggingface_hub talks through changes its name from version to version; its errors have one ancestor.
    http_error: type[Exception] = next(
        kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"
    )
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="chat-template-conformance")
    files = [name for name in upload.files if readme is None or name != CARD]
    operations = [CommitOperationAdd(name, str(upload.folder / name)) for name in files]
    if readme is not None:
        operations.append(CommitOperationAdd(CARD, readme.encode("utf-8")))
    try:
        api.create_repo(upload.repo, private=upload.private or None, exist_ok=True)
        done = api.create_commit(
            upload.repo,
            operations,
            commit_message="Upload through conformance upload",
            revision=upload.revision,
            create_pr=upload.create_pr,
        )
    except (LocalTokenNotFoundError, HFValidationError) as error:
        raise UsageError(f"The Hub cannot be asked: {str(error).splitlines()[0]}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        hint = "; log in by `hf auth login`, or set HF_TOKEN" if status in (401, 403) else ""
        said = (error.server_message or str(error)).strip().splitlines()[0][:200]
        raise UsageError(f"The Hub does not take {upload.repo} ({status}): {said}{hint}.") from error
    except (
        http_error,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # no network, a lost file, a broken answer
        raise UsageError(f"The upload to {upload.repo} failed: {str(error).splitlines()[0][:200]}") from error
    return str(done.pr_url or done.commit_url)

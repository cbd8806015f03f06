"""Models on the Hugging Face hub, by names such as `hf://user/name` and `hf://user/name@revision`.

Everything of huggingface_hub (the extra `hub`) is here: its cache, its login (`hf auth login`), and its errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from ..errors import CheckpointError

SCHEME = "hf://"
NAME = re.compile(r"hf://(?P<name>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
REFUSED = (401, 403)  # HTTP's unauthorized, and forbidden
MAX_TEXT = 200  # characters of an error of the hub

Value = TypeVar("Value")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the lines that huggingface_hub logs for each retry; the error at the end says what is wrong."""
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


class HubModel(NamedTuple):
    """A repository of a model on the hub.

    Args:
        name: USER/NAME.
        revision: A branch, a tag or a commit; None: the newest commit.

    Example:
        >>> HubModel.parse("hf://user/gestures@v1")
        HubModel(name='user/gestures', revision='v1')
        >>> str(HubModel("user/gestures"))
        'hf://user/gestures'
    """

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubModel:
        """Return the model that a text names.

        Raises:
            CheckpointError: It is no such name.
        """
        found = NAME.fullmatch(text)
        if found is None:
            raise CheckpointError(
                f"{text}: not a model on the hub (expected hf://USER/NAME or hf://USER/NAME@REVISION)"
            )
        return cls(found["name"], found["revision"])

    def __str__(self) -> str:
        """The text that `parse` reads."""
        return f"{SCHEME}{self.name}" + (f"@{self.revision}" if self.revision else "")

    def at(self, file: Path) -> HubModel:
        """Return the same model at the commit of a downloaded file; what is downloaded needs no network again."""
        return HubModel(self.name, file.parent.name)  # the cache has a folder for each commit

    def download(self, file: str) -> Path:
        """Return the path of a file of the repository in the cache, which is downloaded if it is not there.

        Raises:
            CheckpointError: There is no such repository, revision or file, it may not be read, or there is no network
                and the file is not in the cache.
        """

        def get() -> Path:
            from huggingface_hub import hf_hub_download

            return Path(hf_hub_download(self.name, file, revision=self.revision))

        return self._call(get)

    def upload(self, folder: Path, *, private: bool) -> HubModel:
        """Add the files of a folder in one commit, in a new repository if there is none; return the model at it.

        Args:
            folder: The files.
            private: Whether a new repository is private.

        Raises:
            CheckpointError: The hub cannot be reached, or refuses.
        """

        def put() -> HubModel:
            from huggingface_hub import HfApi

            hub = HfApi()
            hub.create_repo(self.name, private=private, exist_ok=True)
            commit = hub.upload_folder(repo_id=self.name, folder_path=folder, commit_message="Upload of dvspipe")
            return HubModel(self.name, commit.oid)

        return self._call(put)

    def _call(self, use: Callable[[], Value]) -> Value:
        """Return what a function that uses the hub returns; its errors become ours."""
        try:
            with _quiet():
                return use()
        except ImportError as error:
            raise CheckpointError(
                f"{self}: needs huggingface_hub, which is not installed; pip install 'dvspipe[hub]'"
            ) from error
        except Exception as error:  # also those of its HTTP client, which differs between versions
            raise CheckpointError(f"{self}: {self._explain(error)}") from error

    def _explain(self, error: Exception) -> str:
        """Return what is wrong, in a line."""
        from huggingface_hub import errors

        text = " ".join(str(error).split())[:MAX_TEXT]
        if isinstance(error, errors.GatedRepoError):
            return "is gated (accept its conditions on the page of the repository, and log in with hf auth login)"
        if isinstance(error, errors.RepositoryNotFoundError):
            return "no such repository on the hub, or it is private and you are not logged in (hf auth login)"
        if isinstance(error, errors.RevisionNotFoundError):
            return f"no such revision (found {self.revision})"
        if isinstance(error, errors.LocalEntryNotFoundError):
            return "the hub cannot be reached, and the model was not downloaded before"
        if isinstance(error, errors.EntryNotFoundError):
            return "not a model of dvspipe (expected a repository with config.json and model.safetensors)"
        if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in REFUSED:
            return f"you are not logged in, or may not do that (hf auth login; {text})"
        if isinstance(error, errors.HfHubHTTPError):
            return f"the hub refused ({text})"
        return f"the hub cannot be used ({text})"

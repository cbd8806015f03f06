"""Models on the Hugging Face hub: `hf://user/name` or `hf://user/name@revision`.

Only this module uses huggingface_hub (the extra `hub`): its cache, its login (`hf auth login`) and its errors. A
`HubRepository` names a repository; it downloads files, and turns the errors of the hub into one line with a remedy.
What the files contain is the business of `checkpoint.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..base.errors import CheckpointError

SCHEME = "hf://"
NAME = re.compile(r"hf://(?P<name>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
ACCESS_DENIED = (401, 403)  # HTTP: unauthorized, forbidden
MAX_ERROR_LENGTH = 200  # characters of a hub error in our message


@contextmanager
def _silence_log() -> Iterator[None]:
    """Silence the retry log of huggingface_hub; the final error describes the problem."""
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


class HubRepository(NamedTuple):
    """Repository on the Hugging Face hub.

    Args:
        revision: Branch, tag or commit; None: the newest commit.

    Example:
        >>> HubRepository.parse("hf://user/gestures@v1")
        HubRepository(name='user/gestures', revision='v1')
        >>> str(HubRepository("user/gestures"))
        'hf://user/gestures'
    """

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubRepository:
        """Parse `hf://USER/NAME` or `hf://USER/NAME@REVISION`."""
        match = NAME.fullmatch(text)
        if match is None:
            raise CheckpointError(
                f"{text}: not a model on the hub (expected hf://USER/NAME or hf://USER/NAME@REVISION)"
            )
        return cls(match["name"], match["revision"])

    def __str__(self) -> str:
        """Format the name as `parse` reads it."""
        return f"{SCHEME}{self.name}" + (f"@{self.revision}" if self.revision else "")

    def pin(self, file: Path) -> HubRepository:
        """Return the model at the commit of a downloaded file; its cached files load without a network."""
        commit = file.parent.name  # the cache has one folder per commit
        return HubRepository(self.name, commit)

    def download(self, file: str) -> Path:
        """Return the cached path of a repository file; download the file if it is not cached."""
        try:
            from huggingface_hub import hf_hub_download

            with _silence_log():
                return Path(hf_hub_download(self.name, file, revision=self.revision))
        except ImportError as error:
            raise CheckpointError(f"{self}: huggingface_hub is not installed; pip install 'dvspipe[hub]'") from error
        except Exception as error:  # includes errors of its HTTP client: requests, and httpx from version 1
            raise CheckpointError(f"{self}: {self._explain(error)}") from error

    def _explain(self, error: Exception) -> str:
        """Describe an error of the hub in one line."""
        from huggingface_hub import errors

        text = " ".join(str(error).split())[:MAX_ERROR_LENGTH]

        # From special to general: the hub's errors are derived from each other.
        if isinstance(error, errors.GatedRepoError):
            return "gated model; accept its conditions on its hub page and log in with hf auth login"
        if isinstance(error, errors.RepositoryNotFoundError):
            return "no such repository on the hub, or it is private; to access a private one, log in with hf auth login"
        if isinstance(error, errors.RevisionNotFoundError):
            return f"no such revision (found {self.revision})"
        if isinstance(error, errors.LocalEntryNotFoundError):
            return "the hub cannot be reached, and the model is not in the cache"
        if isinstance(error, errors.EntryNotFoundError):
            return "not a dvspipe model (expected a repository with model.safetensors)"
        if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in ACCESS_DENIED:
            return f"access denied: not logged in, or without permission ({text}); log in with hf auth login"
        if isinstance(error, errors.HfHubHTTPError):
            return f"the hub refused the request ({text})"

        return f"the hub failed ({text})"

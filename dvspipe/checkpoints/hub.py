"""Models on the Hugging Face hub: `hf://user/name` or `hf://user/name@revision`.

Only this module uses huggingface_hub (the extra `hub`): its cache, its login (`hf auth login`) and its errors, which
become one line. What the file of a model contains is the business of `checkpoint.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..base.errors import CheckpointError, shorten

SCHEME = "hf://"
NAME = re.compile(r"hf://(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
WEIGHTS = "model.safetensors"  # file of a repository


def download_model(name: str) -> Path:
    """Return the cached path of the weights of a model; download them if they are not cached."""
    match = NAME.fullmatch(name)
    if match is None:
        raise CheckpointError(f"{name}: not a model on the hub (expected hf://USER/NAME or hf://USER/NAME@REVISION)")

    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(match["repository"], WEIGHTS, revision=match["revision"]))
    except ImportError as error:
        raise CheckpointError(f"{name}: huggingface_hub is not installed; pip install 'dvspipe[hub]'") from error
    except Exception as error:  # includes errors of its HTTP client: requests, and httpx from version 1
        raise CheckpointError(f"{name}: {_explain(error)}") from error


def pin_model(name: str) -> str:
    """Return the name of a model at its current commit; it then loads from the cache, without a network."""
    commit = download_model(name).parent.name  # the cache has one folder per commit
    return f"{name.partition('@')[0]}@{commit}"


def _explain(error: Exception) -> str:
    """Describe an error of the hub in one line."""
    from huggingface_hub import errors

    # From special to general: the hub's errors are derived from each other.
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such model, or it is private or gated; accept its conditions on its page, and run hf auth login"
    if isinstance(error, errors.RevisionNotFoundError):
        return "no such revision"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "the hub cannot be reached or refuses, and the model is not in the cache"
    if isinstance(error, errors.EntryNotFoundError):
        return f"not a dvspipe model (expected a repository with {WEIGHTS})"
    return f"the hub failed ({shorten(' '.join(str(error).split()))})"

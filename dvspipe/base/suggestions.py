"""Suggestions of known settings for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pydantic import BaseModel

from .errors import MIN_NAME_SIMILARITY
from .groups import setting_names

MIN_NAME_SIMILARITY_ELSEWHERE = 0.85  # in another group
MAX_SUGGESTIONS = 3
MIN_WORD = 4  # letters of a word that suggests settings with this word


def suggest_settings(model: type[BaseModel], name: str) -> list[str]:
    """Suggest at most three known settings for an unknown name, most similar first, with their groups.

    Example:
        >>> class Example(BaseModel):
        ...     learning_rate: float = 0.1
        >>> suggest_settings(Example, "lr"), suggest_settings(Example, "group.learning_rate")
        (['learning_rate'], ['learning_rate'])
    """
    group, _, last = name.rpartition(".")
    last_parts = {key: key.split(".")[-1] for key in setting_names(model)}
    siblings = {key: word for key, word in last_parts.items() if key.rpartition(".")[0] == group}

    # From the surest match to the vaguest; each step is tried only if the steps before have none.
    suggestions = (
        [key for key in last_parts if key == name]
        or [key for key, word in last_parts.items() if word == last]
        or [*_match_closest(last, siblings, MIN_NAME_SIMILARITY), *_match_extended(last, siblings)]
        or _match_initials(last, last_parts)
        or [*_match_closest(last, last_parts, MIN_NAME_SIMILARITY_ELSEWHERE), *_match_extended(last, last_parts)]
        or match_words(last, last_parts)
    )
    return list(dict.fromkeys(suggestions))[:MAX_SUGGESTIONS]


def _match_closest(name: str, last_parts: Mapping[str, str], cutoff: float) -> list[str]:
    """Return the settings whose last part is the closest match of `name`."""
    nearest = difflib.get_close_matches(name, set(last_parts.values()), n=1, cutoff=cutoff)
    return [key for key, last in last_parts.items() if last in nearest]


def _match_extended(name: str, last_parts: Mapping[str, str]) -> list[str]:
    """Return the settings whose last part extends `name` by words, or that `name` extends."""
    return [key for key, last in last_parts.items() if last.startswith(f"{name}_") or name.startswith(f"{last}_")]


def _match_initials(name: str, last_parts: Mapping[str, str]) -> list[str]:
    """Return the settings of several words whose initials are `name`: `learning_rate` for `lr`."""
    words = {key: last.split("_") for key, last in last_parts.items() if "_" in last}
    return [key for key, parts in words.items() if "".join(part[0] for part in parts) == name]


def match_words(name: str, last_parts: Mapping[str, str]) -> list[str]:
    """Return the settings with a word of `name`, which may be shortened: `pos_thres` for `threshold`."""
    words = [word for word in name.split("_") if len(word) >= MIN_WORD]

    def has_word(setting: str) -> bool:
        parts = [part for part in setting.split("_") if len(part) >= MIN_WORD]
        return any(word.startswith(part) or part.startswith(word) for part in parts for word in words)

    return [key for key, last in last_parts.items() if has_word(last)]

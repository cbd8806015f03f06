"""One-shot learning of gestures: from one film of each gesture to a classifier."""

from .films import ExampleFilm, list_films, list_videos, set_parts
from .learning import (
    PAGE,
    STRANGERS,
    THOROUGH,
    LearnConfig,
    Learned,
    check_unfinished,
    find_similar,
    is_complete,
    learn,
    learn_study,
    make_config,
    prepare,
)
from .study import StudiedFilm, Study, refusal_picture, study_films

__all__ = [
    "PAGE",
    "STRANGERS",
    "THOROUGH",
    "ExampleFilm",
    "LearnConfig",
    "Learned",
    "StudiedFilm",
    "Study",
    "check_unfinished",
    "find_similar",
    "is_complete",
    "learn",
    "learn_study",
    "list_films",
    "list_videos",
    "make_config",
    "prepare",
    "refusal_picture",
    "set_parts",
    "study_films",
]

"""Croissant metadata of a data set (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html), as JSON-LD."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..base.files import digest_file, write_text
from ..results import LOCK
from ..results.splits import SPLITS, SplitRow

CROISSANT = "croissant.json"
CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""Context that the specification prescribes."""
RECORDINGS = "recordings"
INTEGERS = ("split",)  # columns of splits.csv; the others are texts


@dataclass(frozen=True)
class Description:
    """What the metadata say about a data set.

    Args:
        about: Description in one or more sentences.
        license: Licence in the hub's notation.
        version: Version of the data set, MAJOR.MINOR.PATCH.
    """

    name: str
    about: str
    license: str
    authors: tuple[str, ...]
    version: str = "1.0.0"


def write_croissant(folder: Path, description: Description) -> None:
    """Write croissant.json into a folder with dataset.lock and perhaps splits.csv."""
    files = {LOCK: "application/jsonlines", SPLITS: "text/csv"}
    found = {name: kind for name, kind in files.items() if (folder / name).is_file()}
    people = [{"@type": "sc:Person", "name": name} for name in description.authors]
    metadata = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": description.name,
        "description": description.about,
        "license": description.license,
        "version": description.version,
        **({"creator": people} if people else {}),
        "distribution": [
            *(_describe_file(folder / name, kind) for name, kind in found.items()),
            {
                "@type": "cr:FileSet",
                "@id": RECORDINGS,
                "name": RECORDINGS,
                "description": "Events of one recording: events/t, events/x, events/y, events/p.",
                "encodingFormat": "application/x-hdf5",
                "includes": "*/*.h5",
            },
        ],
        **({"recordSet": [_describe_splits()]} if SPLITS in found else {}),
    }

    write_text(folder / CROISSANT, json.dumps(metadata, indent=2, ensure_ascii=False) + "\n")


def _describe_file(path: Path, kind: str) -> dict[str, object]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "encodingFormat": kind,
        "sha256": digest_file(path),
    }


def _describe_splits() -> dict[str, object]:
    """Describe the rows of splits.csv."""
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"splits/{name}",
            "name": name,
            "dataType": "sc:Integer" if name in INTEGERS else "sc:Text",
            "source": {"fileObject": {"@id": SPLITS}, "extract": {"column": name}},
        }
        for name in SplitRow.columns
    ]
    return {"@type": "cr:RecordSet", "@id": "splits", "name": "splits", "field": fields}

"""Measure the accuracy of classifiers on gestures in ordinary films: DIR/<class>/<film>.

python scripts/bench/films.py DIR CHECKPOINT ... [--set KEY=VALUE] [--tsv FILE]

Folders that are not a class of DVS128 Gesture count as other gestures. "Certain and wrong" counts films that are
classified with certainty as one of the ten gestures, but do not show it.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from dvspipe.base.errors import DvspipeError
from dvspipe.base.gestures import GESTURES, OTHER
from dvspipe.base.settings import parse_overrides
from dvspipe.inference import Classifier, InferConfig, Prediction
from dvspipe.results import wilson_interval


def find_films(folder: Path) -> list[tuple[str, Path]]:
    """Return the class and the path of each film."""
    paths = sorted(path for path in folder.glob("*/*") if path.is_file())
    return [(path.parent.name if path.parent.name in GESTURES else OTHER, path) for path in paths]


def describe(truth: str, path: Path, found: Prediction) -> str:
    """Return a tab-separated row: the result for a film."""
    verdict = "correct" if found.class_name == truth else "certain wrong" if found.certain else "wrong"
    figures = f"{found.probability:.2f}\t{'certain' if found.certain else 'uncertain'}\t{found.events}"
    return f"{truth}\t{path.parent.name}/{path.name}\t{found.class_name}\t{figures}\t{found.looked_at[0]}\t{verdict}"


def measure(checkpoint: str, films: list[tuple[str, Path]], settings: list[str], rows: list[str]) -> None:
    """Classify films, print the accuracy per class, and append a row per film to `rows`."""
    classifier = Classifier.load(checkpoint)
    config = InferConfig.model_validate(parse_overrides(settings))
    results = defaultdict[str, list[Prediction]](list)
    for truth, path in films:
        try:
            found = classifier.predict(path, config)
        except DvspipeError as error:
            print(f"{path}: {error}", file=sys.stderr)
            continue

        results[truth].append(found)
        rows.append(f"{checkpoint}\t{describe(truth, path, found)}")

    print(f"\n{' '.join([checkpoint, *settings])}\n")
    print("| class | correct | 95 % interval | certain and wrong |\n|---|---|---|---|")
    for truth, predictions in results.items():
        right = sum(each.class_name == truth for each in predictions)
        wrong = sum(each.certain and each.class_name not in (truth, OTHER) for each in predictions)
        low, high = wilson_interval(right, len(predictions))
        print(f"| {truth} | {right} of {len(predictions)} | {low:.0%} to {high:.0%} | {wrong} |")


def main() -> None:
    """Classify the films with each checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--tsv", type=Path, help="write a row per film to this file")
    given = parser.parse_args()
    rows: list[str] = []
    for checkpoint in given.checkpoints:
        measure(checkpoint, find_films(given.folder), given.settings, rows)
    if given.tsv:
        given.tsv.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()

"""Label tab: which gesture is when in a film or a recording, proposed by a classifier, corrected by the user.

`propose` classifies files; the files that the network is least sure of are labelled first, because they teach it most.
`fit_labels` fits the last layer of a classifier to all labels, and the tab proposes again with the result. Films that
are labelled are few, and a classifier of gestures exists: its last layer takes seconds, also for new classes.
The editor is the script of the page, `labels.js`. It gets an `EditedFile`, and submits the spans after each change;
they are saved at once in the label file that training and scores read.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from ..base.errors import ConfigError, DataError, DvspipeError, count_noun
from ..base.label_studio import read_label_studio, write_label_studio
from ..base.labels import GESTURES, SUFFIX, Span, read_labels, write_labels
from ..inference.segments import UNCERTAIN
from ..parallel import Progress
from ..recordings.conversion import is_video
from ..report import write_player_page
from ..report.players import VIDEO_NAME
from ..results import Prediction, RunFolder, TrainingRun
from ..video.opening import open_video
from .answers import DEFAULT_NAME, SHIPPED_NAMES, list_classifiers
from .conversion import open_events
from .gestures import Trained, report_stages
from .jobs import StagedProgress
from .shared import (
    ChosenFile,
    Tab,
    Updates,
    Upload,
    address_of,
    follow,
    handle,
    list_any,
    listen,
    offer_file,
    show_caption,
    show_download,
    show_empty,
    take_upload,
)
from .workspace import Session, Workspace

FOLDER = "labelled"
RUN_NAME = "labels"
NO_LABELS = "no file has labels; label one or more films or recordings first"
MAX_SPANS = 10_000  # labels in a file
MAX_CLASS_NAME = 80  # characters
VIEW = """
<div class="labels" data-state="empty" tabindex="0" aria-label="Label editor">
  <video class="film" muted playsinline aria-label="File to label"></video>
  <div class="tools">
    <button class="play">Play</button> <output class="time"></output>
    <button class="split">Split</button> <button class="merge">Merge with next</button>
    <button class="delete">Delete</button> <button class="undo">Undo</button> <button class="redo">Redo</button>
    <button class="accept">Accept the proposals</button>
  </div>
  <div class="timeline"><div class="ghost"></div><div class="head"></div></div>
  <p class="about" role="status"></p>
  <div class="classes"></div>
  <form class="add">
    <input class="name" maxlength="80" placeholder="Name of a new class" aria-label="Name of a new class">
    <button>Add class</button>
  </form>
  <p class="help">Drag on the timeline to add, drag an end to move it. Keys: space: play; ← →: 0.1 s, with shift 1 s;
    1 to 0: class; i, o: start, end here; s: split; m: merge; n, p: next, previous; delete; ctrl+z: undo.
    × removes a class that no label uses.</p>
</div>
"""
STYLE = """
.labels { outline-offset: 4px; }
.labels:focus:not(:focus-visible) { outline: none; }
.labels[data-state="empty"] { display: none; }
.labels .film { display: block; width: 100%; max-height: 55vh; background: #12171f; border-radius: 8px; }
.labels :is(.tools, .classes) { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; margin: .5rem 0; }
.labels button { padding: .35rem .7rem; min-height: 2.25rem; border: 1px solid var(--border-color-primary);
  border-radius: 6px; background: var(--block-background-fill); color: var(--body-text-color); cursor: pointer; }
.labels button:disabled { opacity: .4; cursor: default; }
.labels:not(.proposals) .accept { display: none; }
.labels .accept { background: #1d5fbf; color: #fff; border-color: #1d5fbf; }
.labels .classes span { display: flex; height: 2.25rem; border-left: .6rem solid hsl(var(--hue) 60% 45%);
  border-radius: 6px; }
.labels .classes button { border-left: 0; border-radius: 0 6px 6px 0; }
.labels .classes button:not(:last-child) { border-radius: 0; }
.labels .add { display: flex; flex-wrap: wrap; gap: .4rem; margin: .5rem 0; }
.labels .name { flex: 0 1 16rem; min-width: 8rem; padding: .35rem .7rem; border-radius: 6px; font: inherit;
  border: 1px solid var(--border-color-primary); background: var(--input-background-fill);
  color: var(--body-text-color); }
.labels .time { min-width: 5rem; font-variant-numeric: tabular-nums; }
.labels .timeline { position: relative; height: 4rem; border-radius: 6px; background: var(--border-color-primary);
  touch-action: none; cursor: crosshair; overflow: hidden; user-select: none; }
.labels .span { position: absolute; top: .4rem; bottom: .4rem; display: flex; align-items: center; cursor: pointer;
  border-radius: 4px; background: hsl(var(--hue) 60% 38%); color: #fff; font-size: .8rem; min-width: 4px; }
.labels .span b { flex: 1; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; font-weight: 500;
  text-align: center; pointer-events: none; color: inherit; }
.labels .span i { width: .7rem; flex: none; align-self: stretch; cursor: ew-resize; border-radius: 4px;
  background: rgb(255 255 255 / 35%); }
.labels .span.picked { outline: 3px solid var(--body-text-color); }
.labels.proposals .span { opacity: .7; }
.labels .ghost { position: absolute; top: 0; bottom: 0; display: none; z-index: 2; pointer-events: none;
  background: rgb(29 95 191 / 40%); }
.labels .head { position: absolute; top: 0; bottom: 0; width: 2px; z-index: 3; pointer-events: none;
  background: var(--body-text-color); }
.labels :is(.about, .help) { margin: .4rem 0; }
.labels .help { color: var(--body-text-color-subdued); font-size: .9rem; }
"""


@dataclass(frozen=True)
class Proposal:
    """Labels that a classifier proposes for a file.

    Args:
        spans: Times with a certain class.
        margin: Mean difference of the two highest probabilities, 0 to 1: it is low if the network hesitates between
            two classes. Unlike an energy, it has the same scale for all classifiers.
        classes: Classes of the classifier.
    """

    spans: tuple[Span, ...]
    margin: float
    classes: tuple[str, ...]

    @classmethod
    def of(cls, prediction: Prediction) -> Proposal:
        """Return the proposal of a prediction."""
        spans = tuple(
            Span(segment.t_start_us, segment.t_end_us, segment.class_name)
            for segment in prediction.segments
            if segment.label is not None
        )
        ranked = np.sort(prediction.timeline.probabilities, axis=1)
        margin = float((ranked[:, -1] - ranked[:, -2]).mean()) if len(ranked) else 0.0
        return cls(spans, margin, prediction.classes)


Proposals = dict[str, Proposal]
"""Proposals by name of the file."""


@dataclass(frozen=True)
class EditedFile:
    """What the editor gets of a file.

    Args:
        name: Name of the file, below the folder.
        media: URL of a film to play.
        is_film: Whether the time of the film is the time of the labels; otherwise, the film is scaled to it.
        start_us: Time of the first picture or event.
        duration_us: Duration.
        classes: Names of the classes: the user's own, then the classifier's.
        used: Names in the label files of other files.
        spans: Labels.
        are_proposals: Whether the labels are proposed, and not saved.
    """

    name: str
    media: str
    is_film: bool
    start_us: int
    duration_us: int
    classes: tuple[str, ...]
    used: tuple[str, ...]
    spans: tuple[Span, ...]
    are_proposals: bool


def label_file_of(path: Path) -> Path:
    """Return the path of the label file beside a film or a recording."""
    return path.with_name(f"{path.stem}{SUFFIX}")


@dataclass(frozen=True)
class Proposed:
    """Proposals for files, and why other files have none.

    Args:
        proposals: Proposals by name of the file.
        errors: A line for each other file.
    """

    proposals: Proposals
    errors: tuple[str, ...]


def propose(space: Workspace, names: Sequence[str], checkpoint: str | Path, progress: Progress) -> Proposed:
    """Classify files below the folder."""
    # torch takes seconds to import
    from ..inference import Classifier, classify_many, plan_tasks

    by_path = {space.resolve(name): name for name in names}
    tasks = plan_tasks(list(by_path))
    proposals: Proposals = {}
    errors: list[str] = []
    for outcome in classify_many(tasks, Classifier.load(checkpoint), progress=progress):
        if outcome.error is None:
            proposals[by_path[Path(outcome.item.source)]] = Proposal.of(outcome.result())
        else:
            errors.append(space.describe(outcome.error))

    return Proposed(proposals, tuple(errors))


def open_edited(space: Workspace, name: str, proposal: Proposal | None, folder: Path, progress: Progress) -> EditedFile:
    """Prepare a file for the editor, with its labels, or else with proposals."""
    path = space.resolve(name)
    labels = label_file_of(path)
    are_proposals = proposal is not None and not labels.is_file()
    spans = tuple(read_labels(labels)) if labels.is_file() else ()
    spans = proposal.spans if proposal is not None and are_proposals else spans

    # The server delivers its own files only, so a film is copied; of a recording, a film is made.
    if is_video(path):
        media = Path(shutil.copyfile(path, folder / f"film{path.suffix.lower()}"))
        start_us = 0
        duration_us = round(1e6 * (open_video(path).duration_s or 0))
    else:
        source = open_events(path)
        write_player_page(source, folder / "player.html", title=name, progress=progress)
        media = folder / VIDEO_NAME
        start_us, last_us = source.span_us
        duration_us = last_us + 1 - start_us

    # The user's own classes come first: the first ten have a digit key.
    known = proposal.classes if proposal is not None else GESTURES
    used = find_used(space, labels)
    named = dict.fromkeys([*used, *(span.name for span in spans)])
    classes = (*(name for name in named if name not in known), *known)
    ends_us = [span.end_us - start_us for span in spans]
    duration_us = max([duration_us, *ends_us, 1])
    return EditedFile(
        name, address_of(media), is_video(path), start_us, duration_us, classes, used, spans, are_proposals
    )


def find_used(space: Workspace, skipped: Path | None = None) -> tuple[str, ...]:
    """Return the names in all label files but `skipped`, sorted; files that cannot be read have none."""
    used: set[str] = set()
    for path in set(find_labels(space, list_any(space)).values()):
        if path != skipped:
            with suppress(DvspipeError):
                used.update(span.name for span in read_labels(path))

    return tuple(sorted(used))


def find_labels(space: Workspace, names: Sequence[str]) -> dict[str, Path]:
    """Return the label files of films and recordings below the folder, by name; files without labels are left out."""
    files = {name: label_file_of(space.resolve(name)) for name in names}
    return {name: path for name, path in files.items() if path.is_file()}


@dataclass(frozen=True)
class Fitted(Trained):
    """Classifier whose last layer was fitted to labels.

    Args:
        init: Classifier that it was fitted from.
    """

    init: str


def fit_labels(space: Workspace, init: str, run: Path, progress: StagedProgress) -> Fitted:
    """Fit the last layer of a classifier to all labels below the folder, as `dvspipe train DIR init=INIT` does.

    The run folder is removed if the work fails or is stopped: labels change, so nothing could be resumed.
    """
    # torch takes seconds to import
    from ..checkpoints.checkpoint import load_config
    from ..verbs.training import train

    # Windows make many samples of a few long labels, so two films of a class are enough.
    before = load_config(init)
    data = {"validation": 0, "window_us": before.bins.window_us}
    settings = ["optimiser.rule=readout", *(f"data.{name}={value}" for name, value in data.items())]
    command = shlex.join(["dvspipe", "train", str(space.folder), f"init={init}", *settings])
    rule = {"rule": "readout"}
    callback = report_stages(progress)
    try:
        fitted = train(space.folder, run, init=init, optimiser=rule, data=data, command=command, callback=callback)
    except BaseException:
        shutil.rmtree(run, ignore_errors=True)
        raise

    archive = shutil.make_archive(str(run), "zip", run.parent, run.name)
    return Fitted(run, find_used(space), summarize(fitted, before.classes), Path(archive), init)


def summarize(fitted: TrainingRun, classes_before: tuple[str, ...]) -> str:
    """Return the Markdown summary of a fitted classifier."""
    from ..checkpoints.checkpoint import load_config  # torch takes seconds to import

    test = fitted.test
    before = f"; before, {test.correct_before}" if test.correct_before is not None else ""
    lines = [
        f"**Test accuracy {test.accuracy:.1%}**: {test.correct} of {test.samples}{before}, on labels that were held "
        "out of the training.",
        *(f"- {finding.text}" for finding in test.findings),
    ]
    if classes_before == GESTURES != load_config(fitted.checkpoint).classes:
        lines.append("- Videos are now classified by events alone: the joint network does not know the new classes.")

    return "\n".join(lines)


def find_rate(space: Workspace, name: str) -> float | None:
    """Return the frames per second of a film below the folder; None for a recording."""
    path = space.resolve(name)
    if not is_video(path):
        return None

    return open_video(path).fps or None


def import_labels(space: Workspace, source: ChosenFile) -> str:
    """Save the labels of an export of Label Studio, except for files that have labels; return a sentence."""
    labels = read_label_studio(source.path, list_any(space), partial(find_rate, space))
    parsed = {name: parse_spans([asdict(span) for span in spans]) for name, spans in labels.items()}

    imported = 0
    for name, spans in parsed.items():
        path = label_file_of(space.resolve(name))
        if not path.is_file():
            write_labels(path, spans)
            imported += 1

    kept = len(parsed) - imported
    unchanged = f" {count_noun(kept, 'file')} with labels already: unchanged." if kept else ""
    return f"Imported the labels of {count_noun(imported, 'file')}.{unchanged}"


def export_labels(space: Workspace, folder: Path) -> Path:
    """Write all labels below the folder for Label Studio."""
    labels = {name: read_labels(path) for name, path in find_labels(space, list_any(space)).items()}
    if not labels:
        raise ConfigError(NO_LABELS)

    exported = folder / "labels.json"
    write_label_studio(exported, labels, partial(find_rate, space))
    return exported


def parse_spans(values: Sequence[object]) -> list[Span]:
    """Return the spans that the editor submits, sorted by time; refuse others."""
    if len(values) > MAX_SPANS:
        raise DataError(f"labels: too many (found {len(values):,}, expected at most {MAX_SPANS:,})")

    spans = [_parse_span(value) for value in values]
    spans.sort(key=lambda span: span.start_us)
    for span, following in pairwise(spans):
        if following.start_us < span.end_us:
            raise DataError(f"labels: {span.name} and {following.name} overlap")

    return spans


def _parse_span(value: object) -> Span:
    match value:
        case {"start_us": int(start_us), "end_us": int(end_us), "name": str(name)} if start_us < end_us:
            if name.strip() == UNCERTAIN:
                raise DataError(f"labels: a class cannot be called {UNCERTAIN}, the name of times without a label")
            if 0 < len(name.strip()) <= MAX_CLASS_NAME and name.isprintable():
                return Span(start_us, end_us, name.strip())

    raise DataError(f"labels: not a span ({str(value)[:80]})")


class LabelTab(Tab):
    """Label tab: its components and their event handlers.

    Args:
        space: Folders of the app.
        opened: Event that fires when the tab is opened.
    """

    def __init__(self, space: Workspace, opened: Any) -> None:
        super().__init__(space)
        self.saving = self.make_message()
        self.training = self.make_message()
        self.exchanging = self.make_message()
        self.proposals: gr.State = gr.State({})
        self.trained = gr.State(())
        self.opening: gr.State = gr.State(None)  # file to open after new proposals or labels; None: none

        with gr.Row(elem_classes="parts"):
            with gr.Column(elem_classes="choose"):
                self.files = gr.Radio([], label="Files", elem_classes="files")
                self.empty = gr.HTML("")
                self.skipped = gr.HTML("")
                self.checkpoint = gr.Dropdown(list_classifiers(space), value=DEFAULT_NAME, label="Classifier")
                self.propose = self.add_work("Propose labels", variant="primary")
                self.train = self.add_work("Train on these labels", self.training)
                self.result = gr.Markdown("")
                self.archive = gr.DownloadButton(
                    "Download the classifier", interactive=False, elem_classes="when-ready"
                )
                with gr.Accordion("Label Studio", open=False):
                    with gr.Row():
                        self.upload = gr.UploadButton("Import", file_types=[".json"], size="sm", min_width=100)
                        self.export = gr.Button("Export", size="sm", min_width=100)
                    self.exchanging.render()
            with gr.Column(elem_classes="show"):
                # The script of the page gets the file from this invisible text.
                self.edited = gr.Textbox("", visible="hidden")
                script = Path(__file__).with_suffix(".js").read_text()
                self.view = gr.HTML("", html_template=VIEW, css_template=STYLE, js_on_load=script)
                self.saving.render()

        self._connect(opened)

    def _connect(self, opened: Any) -> None:
        self.on(opened, self.list_files, [self.proposals])
        limit = {"concurrency_limit": 2}  # sessions that classify or train at the same time
        chosen = [self.files, self.checkpoint]
        proposed = self.on(self.propose.click, self.show_proposals, chosen, **limit)
        trained = self.on(
            self.train.click, self.train_classifier, [*chosen, self.trained], status=self.training, **limit
        )

        uploaded = [self.upload, self.files, self.proposals]
        imported = self.on(self.upload.upload, self.import_file, uploaded, status=self.exchanging)
        self.on(self.export.click, self.export_file, status=self.exchanging)

        shown = self.on(self.files.input, self.open_file, [self.files, self.proposals])
        following = [
            self.after(event.then, self.open_file, [self.opening, self.proposals])
            for event in (proposed, trained, imported)
        ]
        for event in (shown, *following):
            listen(
                event.then,
                None,
                [self.edited],
                [],
                js="text => { if (text) window.dvspipeLabels.open(JSON.parse(text)); }",
            )

        save = handle(self.space, self.saving, self.save)

        def submit(request: gr.Request, event: gr.EventData) -> Iterator[Updates]:
            yield from save(request, event.name, event.spans)

        # The script submits one change after the other.
        saved = listen(self.view.submit, submit, [], self.outputs, trigger_mode="multiple")
        listen(saved.then, None, [], [], js="() => { window.dvspipeLabels.saved(); }")

    def list_files(self, _: Session, proposals: Proposals) -> Iterator[Updates]:
        """List the films and recordings below the folder."""
        names = list_any(self.space)
        note = show_empty(f"No films or recordings are below {self.space.folder.name}/.") if not names else ""
        yield {self.files: list_choices(order_files(self.space, names, proposals), proposals), self.empty: note}

    def open_file(self, session: Session, name: str | None, proposals: Proposals) -> Iterator[Updates]:
        """Open a file in the editor; None: the editor stays as it is."""
        if name is None:
            yield {self.edited: ""}  # otherwise the script would open the previous file again
            return

        yield {self.edited: "null"}  # closes the editor, if the file cannot be opened
        check_listed(self.space, name)
        folder = session.next_folder(FOLDER)

        def work(progress: Progress) -> EditedFile:
            return open_edited(self.space, name, proposals.get(name), folder, progress)

        yield from follow(
            session, self.status, "opening", work, lambda edited: {self.edited: json.dumps(asdict(edited))}
        )

    def show_proposals(self, session: Session, name: str | None, checkpoint: str) -> Iterator[Updates]:
        """Classify the files without labels, and list them again."""
        yield {self.opening: None}
        names = list_any(self.space)
        if not self._list_waiting(names):
            raise ConfigError("all files have labels" if names else "there are no files to label")

        yield from self._propose(session, self.status, name, self._find_classifier(checkpoint))

    def train_classifier(
        self, session: Session, name: str | None, checkpoint: str, trained: tuple[Fitted, ...]
    ) -> Iterator[Updates]:
        """Fit the chosen classifier to all labels, then propose labels with the result."""
        yield {self.opening: None, self.result: "", self.archive: gr.DownloadButton(interactive=False)}
        if not find_labels(self.space, list_any(self.space)):
            raise ConfigError(NO_LABELS)

        # Fitted to these labels already, the result of an earlier training would hardly change.
        inits = {str(fitted.run): fitted.init for fitted in trained}
        init = inits.get(checkpoint) or self._find_classifier(checkpoint)
        run = RunFolder.find_free(session.kept_folder(), RUN_NAME).path

        def show(new: Fitted) -> Updates:
            known = (*trained, new)
            choices = [*list_classifiers(self.space), *(fitted.to_choice() for fitted in known)]
            return {
                self.trained: known,
                self.result: new.summary,
                self.archive: offer_file(new.archive),
                self.checkpoint: gr.Dropdown(choices=choices, value=str(run)),
            }

        yield from follow(session, self.training, "training", partial(fit_labels, self.space, init, run), show)
        if self._list_waiting(list_any(self.space)):
            yield from self._propose(session, self.training, name, str(run))

    def _propose(self, session: Session, status: gr.HTML, name: str | None, classifier: str) -> Iterator[Updates]:
        """Classify the files without labels, list them again, and choose the least certain one, or keep `name`."""
        names = list_any(self.space)
        waiting = self._list_waiting(names)

        def show(proposed: Proposed) -> Updates:
            proposals = proposed.proposals
            choices = order_files(self.space, names, proposals)
            _, least_certain = choices[0]
            value = name if name in waiting else least_certain
            return {
                self.proposals: proposals,
                self.files: list_choices(choices, proposals, value=value),
                self.opening: value,
                self.skipped: "".join(show_caption(f"No proposal: {error}") for error in proposed.errors),
            }

        work = partial(propose, self.space, waiting, classifier)
        yield from follow(session, status, "proposing labels", work, show)

    def _list_waiting(self, names: Sequence[str]) -> list[str]:
        """Return the files without labels."""
        labelled = find_labels(self.space, names)
        return [name for name in names if name not in labelled]

    def _find_classifier(self, checkpoint: str) -> str:
        return checkpoint if checkpoint in SHIPPED_NAMES else str(self.space.resolve(checkpoint))

    def import_file(
        self, session: Session, file: Upload | None, name: str | None, proposals: Proposals
    ) -> Iterator[Updates]:
        """Save the labels of an uploaded export of Label Studio; list the files, and open the chosen one, again."""
        yield {self.opening: None}
        if file:
            note = import_labels(self.space, take_upload(session, file))
            yield {self.exchanging: show_caption(note), self.opening: name}
            yield from self.list_files(session, proposals)

    def export_file(self, session: Session) -> Iterator[Updates]:
        """Offer all labels as a file for Label Studio."""
        exported = export_labels(self.space, session.next_folder("exported"))
        yield {self.exchanging: show_download(exported)}

    def save(self, _: Session, name: str, values: list[Any]) -> Iterator[Updates]:
        """Save the labels of a file beside it."""
        check_listed(self.space, name)
        labels = label_file_of(self.space.resolve(name))
        spans = parse_spans(values)
        write_labels(labels, spans)
        yield {self.saving: show_caption(f"Saved: {len(spans)} in {labels.name}.")}


def check_listed(space: Workspace, name: str) -> None:
    """Check that a name is a film or a recording below the folder, because labels are written beside it."""
    if name not in list_any(space):
        raise ConfigError(f"{name}: not a film or recording below {space.folder}")


def list_choices(choices: list[tuple[str, str]], proposals: Proposals, **options: Any) -> gr.Radio:
    """Return the list of files, with a title that says how it is sorted."""
    return gr.Radio(choices=choices, label="Files, least certain first" if proposals else "Files", **options)


def order_files(space: Workspace, names: Sequence[str], proposals: Proposals) -> list[tuple[str, str]]:
    """Return the labels of files in the list, and their names: those to label first, least certain first."""

    def place(name: str) -> tuple[bool, float, str]:
        margin = proposals[name].margin if name in proposals else 1.0
        return name in labelled, margin, name

    def describe(name: str) -> str:
        if name in labelled:
            return f"{name} (labelled)"
        return f"{name} (margin {proposals[name].margin:.0%})" if name in proposals else name

    labelled = find_labels(space, names)
    return [(describe(name), name) for name in sorted(names, key=place)]

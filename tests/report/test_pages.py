"""Charts and pages, read back by independent libraries and by a browser."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import tracemalloc
from html import escape, unescape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import random_events
from facts import mentions
from jinja2 import UndefinedError
from matplotlib.collections import LineCollection
from matplotlib.patches import StepPatch
from PIL import Image
from records import CLASSES, RUN, SCORES, SEGMENTS, make_layer, make_prediction

from dvspipe.events import Events, SensorSize
from dvspipe.hooks import RecordingView
from dvspipe.report import (
    PlotKind,
    PlotSource,
    answers,
    draw_recording,
    plot_source,
    write_answers_page,
    write_training_page,
)
from dvspipe.report.figures import new_figure, save_figure
from dvspipe.report.pages import environment, show_chart
from dvspipe.report.style import DARK
from dvspipe.report.timelines import MAX_CLASSES, plot_timeline
from dvspipe.report.training_charts import draw_kernels, draw_wrong, plot_confusion, plot_curves
from dvspipe.results import (
    ActivityRecord,
    EpochRow,
    EventImage,
    KernelRecord,
    LookRow,
    OutputFolder,
    Prediction,
    RunFolder,
    TestResult,
    TrainingRun,
    WrongPrediction,
    write_rows,
)

SENSOR = SensorSize(width=12, height=7)
WINDOWS = make_prediction().to_windows()


def webm_pictures(path: Path) -> list[Any]:
    capture = cv2.VideoCapture(str(path))
    return [image[:, :, ::-1] for _, image in iter(capture.read, (False, None))]


def source_of(*chunks: Events) -> PlotSource:
    ends = [int(time) for part in chunks for time in (part.t[0], part.t[-1])]
    span_us = (ends[0], ends[-1]) if ends else (0, 0)
    return PlotSource(chunks, SENSOR, sum(map(len, chunks)), span_us)


def draw_png(kind: PlotKind, source: PlotSource, path: Path) -> Any:
    """Return a chart as an RGB picture."""
    return np.asarray(Image.open(save_figure(plot_source(kind, source, "a"), path)).convert("RGB")).astype(int)


def test_cloud_distinguishes_polarity_and_time(tmp_path: Path) -> None:
    t = np.arange(0, 1_000_000, 2000)
    events = Events(t, t // 2000 % 12, t // 2000 % 7, t < 500_000, SENSOR)
    red, green, blue = np.moveaxis(draw_png("xyt", source_of(events), tmp_path / "a.png"), 2, 0)
    is_red, is_blue = (red - blue > 60) & (red - green > 60), (blue - red > 60) & (blue - green > 20)
    assert min(is_red.sum(), is_blue.sum()) > 300
    assert np.argwhere(is_red)[:, 1].mean() < np.argwhere(is_blue)[:, 1].mean()


def test_rates_are_stacked_and_their_areas_are_the_numbers_of_events() -> None:
    events = random_events(0, 500)
    area = []
    for patch in plot_source("rate", source_of(events)).axes[0].patches:
        assert isinstance(patch, StepPatch)
        values, edges, baseline = patch.get_data()
        area.append(float(np.sum((values - np.asarray(baseline)) * np.diff(edges))))
    assert area == pytest.approx([(~events.p).sum(), events.p.sum()])


@pytest.mark.parametrize("kind", ["xyt", "rate"])
def test_chart_without_events_is_drawn(tmp_path: Path, kind: PlotKind) -> None:
    assert draw_png(kind, source_of(), tmp_path / "a.png").min() < 100


def test_confusion_matrix_has_counts_unless_it_has_many_classes() -> None:
    few, many = (plot_confusion(np.eye(K, dtype=int), ["a"] * K, width=5).axes[0] for K in (3, 60))
    assert [(text.get_text(), text.get_fontsize() >= 12) for text in few.texts] == [("1", True)] * 3
    assert not many.texts
    np.testing.assert_allclose(np.asarray(few.images[0].get_alpha(), float), 0.9 * np.eye(3))


def test_wrong_predictions_and_kernels_are_pictures_of_both_polarities(tmp_path: Path) -> None:
    on, off = ((0.0, 1.0),) * 3, ((1.0, 0.0),) * 3
    wrong = [WrongPrediction(name="a$.h5", label="left", predicted="$right", probability=0.9)]
    draw_wrong(wrong, [EventImage(on=on, off=off)], tmp_path / "wrong.png")
    draw_kernels([KernelRecord(name="lif1", channels=17, kernels=((off, on),) * 17)] * 2, tmp_path / "kernels.png")
    for path in tmp_path.iterdir():
        picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
        for colour in ((214, 31, 38), (31, 95, 191)):
            assert (np.abs(picture - colour).max(axis=2) < 3).sum() > 100


def test_charts_accept_one_epoch_missing_values_and_any_name() -> None:
    row = make_epoch(1, val_loss=math.nan, val_accuracy=math.nan, rates={"$x": 0.1})
    for rows in ([row], []):
        html = show_chart(lambda width, rows=rows: plot_curves(rows, chosen_epoch=1, width=width), 'a "chart"')
        assert "fill: var(--card)" in html  # the legend, which hides the line of the epoch
        assert html.count("<svg") == html.count("a &#34;chart&#34;") == 2
        assert ("$x" in html) == bool(rows)


def test_page_changes_the_colours_of_charts_with_its_theme() -> None:
    html = show_chart(lambda _: plot_source("rate", source_of(random_events(0, 50)), "a"), "")
    assert all(f"var(--{name})" in html for name in ("on", "off", "ink"))
    assert "#ffffff" not in html
    assert "http" not in html


SAMPLES = 20
LAYERS = (
    make_layer(neurons=1000, connections=50_000, steps=3 * SAMPLES, spikes_in=80.0 * SAMPLES, rate=0.0125),
    make_layer(
        name="readout",
        neurons=4,
        connections=4000,
        fan_out=4.0,
        steps=3 * SAMPLES,
        spikes_in=37.5 * SAMPLES,
        rate=None,
    ),
)
ACTIVITY = ActivityRecord(step_us=20_000, steps=3, recordings=SAMPLES, layers=LAYERS)


def make_epoch(epoch: int, **changes: Any) -> EpochRow:
    values = {
        "train_loss": 1.5,
        "train_accuracy": 0.4,
        "val_loss": 1.4,
        "val_accuracy": 0.5,
        "learning_rate": 0.001,
        "seconds": 9.5,
        "rates": {"conv1": 0.1},
    }
    return EpochRow.model_validate({"epoch": epoch} | values | changes)


def make_run(folder: Path, activity: ActivityRecord = ACTIVITY, **changes: Any) -> TrainingRun:
    values = {
        "title": "Four gestures",
        "synthetic": False,
        "synthetic_test": False,
        "data": "20 clips of people whom the training never saw",
        "chosen_epoch": 2,
        "val_accuracy": 0.9,
        "classes": CLASSES,
        "confusion": [[5, 0, 0, 0], [1, 4, 0, 0], [0, 1, 3, 1], [0, 0, 0, 5]],
        "calibration_error": 0.1,
        "temperature": 1.2,
        "findings": ["a < b"],
        "command": "dvspipe train four seed=1",
        "versions": {"dvspipe": "0.1.0"},
        "machine": {"Python": "3.12.1", "processor": "<i>"},
    }
    folder.mkdir(exist_ok=True)
    return TrainingRun(
        folder=RunFolder(folder),
        settings="seed: 1\nnetwork:\n  name: '<b>'\n",
        epochs=(make_epoch(1), make_epoch(2, val_loss=math.nan, val_accuracy=0.9)),
        test=TestResult.model_validate(values | changes),
        activity=activity,
    )


def write_run(run: TrainingRun) -> RunFolder:
    """Write the records that `TrainingRun.read` needs."""
    run.folder.config.write_text(run.settings)
    write_rows(run.epochs, EpochRow, run.folder.epochs, run.folder.epochs_csv)
    run.test.write(run.folder.test)
    run.activity.write(run.folder.activity)
    return run.folder


def read_text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def training_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_page(make_run(tmp_path_factory.mktemp("run")))


def test_training_page_shows_the_results(training_page: Path) -> None:
    text = read_text(training_page)
    assert mentions(text, "85.0 %", "17 of 20", "64.0", "94.8", "25.0 %", "epoch 2", "90.0 %", "19.0 s")
    assert mentions(text, "20 clips of people", "seed=1", "dvspipe 0.1.0", "Python 3.12.1")
    assert "ynthetic" not in text
    assert text.count("<h1>Four gestures</h1>") == text.count("<title>Four gestures</title>") == 1
    assert {path.name for path in training_page.parent.iterdir()} == {"report.html"}


def test_training_page_is_self_contained(training_page: Path) -> None:
    text = read_text(training_page)
    assert "http://" not in text
    assert "https://" not in text
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'(?:src|href)="([^"#]+)"', text))


def test_page_of_a_run_read_from_disk_is_the_same(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    page = write_training_page(run).read_bytes()
    run.folder.report.unlink()
    assert write_training_page(TrainingRun.read(write_run(run))).read_bytes() == page


def test_file_name_outside_utf8_is_escaped_in_titles(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.h5")
    save_figure(plot_curves([], title=name), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size
    assert new_figure(2, 1, name).get_suptitle() == r"\udcff.h5"


def test_page_labels_synthetic_data_once(tmp_path: Path) -> None:
    kinds = "synthetic data", "synthetic training data", "synthetic test data"
    for (train, test), kind in zip(((True, True), (True, False), (False, True)), kinds, strict=True):
        run = make_run(tmp_path, synthetic=train, synthetic_test=test)
        text = read_text(write_training_page(run))
        assert re.findall('<span class="badge">([^<]+)</span>', text) == [run.test.kind_of_data] == [kind]


# The page of answers


def draw_all(folder: OutputFolder, names: list[str], **changes: Any) -> list[Prediction]:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 2_500_000, 500))
    events = Events(t, rng.integers(0, 12, 500), rng.integers(0, 7, 500), rng.integers(0, 2, 500), SENSOR)
    results = [make_prediction(name, **changes) for name in names]
    for result in results:
        files = folder.of(result.folder)
        draw_recording(files, result, WINDOWS, RecordingView(SENSOR, [events]))
    return results


def make_answers(out: Path, names: list[str]) -> Path:
    folder = OutputFolder(out)
    return write_answers_page(folder, RUN, draw_all(folder, names, scores=SCORES))


@pytest.fixture(scope="module")
def answers_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a recording, a.h5."""
    return make_answers(tmp_path_factory.mktemp("answers"), ["a.h5"])


def test_timeline_draws_segments_and_labels_in_the_row_of_their_class() -> None:
    top, bottom = plot_timeline(make_prediction("a.h5"), WINDOWS, CLASSES).axes
    spans = {}
    for lines in top.collections:
        assert isinstance(lines, LineCollection)
        spans[lines.get_label()] = [(round(ends[0, 1]), *ends[:, 0].tolist()) for ends in lines.get_segments()]
    assert spans["label"] == [(1, 0.0, 1.0), (2, 1.5, pytest.approx(2.5))]
    assert [row for row, *_ in spans["predicted"]] == [1, 2]
    (picture,) = top.images
    opacity = np.asarray(picture.get_array())[..., 3]
    assert opacity[:, 0] == pytest.approx([0, 1, 0, 0])
    assert opacity[:, -1] == pytest.approx([0, 0.4, 0.6, 0])
    assert bottom.get_xlim() == pytest.approx((0, 2.5))


def test_timeline_of_many_classes_has_bounded_size() -> None:
    classes = [f"class{k}" for k in range(1000)]
    rows = [row.model_copy(update={"probabilities": (0.0,) * 990 + (0.1,) * 10}) for row in WINDOWS]
    figure = plot_timeline(make_prediction("a.h5", labels=None), rows, classes)
    assert len(figure.axes[0].get_yticks()) == MAX_CLASSES
    assert figure.get_figheight() < 15


def test_timeline_and_page_label_synthetic_recordings(tmp_path: Path) -> None:
    for synthetic in (True, False):
        (result,) = draw_all(OutputFolder(tmp_path), ["a.h5"], synthetic=synthetic)
        for title in ("", "by day"):
            shown = plot_timeline(result, WINDOWS, CLASSES, title).get_suptitle()
            assert ("synthetic" in shown) == synthetic
            assert title in shown
        text = read_text(write_answers_page(OutputFolder(tmp_path), RUN, [result]))
        assert ("(synthetic)" in text) == synthetic


def test_overlay_shows_the_prediction_in_real_time(answers_page: Path) -> None:
    pictures = webm_pictures(answers_page.parent / "a.h5" / "overlay.webm")
    assert len(pictures) == 38  # 2.5 s at 15 pictures per second
    shares = [float((np.abs(p[24].astype(int) - DARK.bar).max(axis=1) < 60).mean()) for p in pictures]
    assert shares[8] == pytest.approx(1, abs=0.05)
    assert shares[18] == pytest.approx(0, abs=0.05)
    assert shares[30] == pytest.approx(0.6, abs=0.05)


def test_overlay_shows_the_film_and_the_region_left_of_the_events(tmp_path: Path) -> None:
    rows = (LookRow(t_us=None, left=-2, top=1, width=6, height=5),)
    result = make_prediction("a.h5", picture="12x7", looked_at=rows)
    files, events = OutputFolder(tmp_path).of("a.h5"), random_events(0, 500, SENSOR, 2_500_000)
    frames = ((k * 100_000, np.full((70, 120, 3), 200, np.uint8)) for k in range(25))
    draw_recording(files, result, WINDOWS, RecordingView(SENSOR, [events], frames))
    picture = webm_pictures(files.overlay)[8].astype(int)
    scale = 27  # 12 pixels are enlarged to at least 320
    pixels = picture[-7 * scale :]
    film, shown = np.array_split(pixels, 2, axis=1)
    assert film[2, -40:-2].mean() == pytest.approx(200, abs=8)
    for half in (film, shown):
        assert np.abs(half[3 * scale, 4 * scale - 3 : 4 * scale] - DARK.bar).max(axis=1).min() < 60


def test_classification_page_is_self_contained(tmp_path: Path) -> None:
    text = read_text(make_answers(tmp_path, ["a.h5", "deep/b.h5"]))
    assert "http://" not in text
    assert "https://" not in text
    sources = re.findall(r'src="([^"]*)"', text)
    assert [source.split(";")[0] for source in sources].count("data:video/webm") == 2
    assert all(source.startswith("data:") for source in sources)
    assert text.count('<span class="badge">synthetic training data</span>') == 1
    assert text.count("<video controls") == text.count('preload="auto"') == 2  # a picture before it is played
    assert mentions(text, "2 recordings", "90.0%", "1.000", "150 ms")


def test_names_with_markup_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)<"  # no slash: file names cannot have one
    folder = OutputFolder(tmp_path)
    results = draw_all(folder, [f"{evil}.h5"], scores=SCORES, **{"class": CLASSES[2], "label": 2})
    run = RUN.model_copy(update={"checkpoint": evil, "trained_on": evil, "settings": {evil: evil}})
    text = read_text(write_answers_page(folder, run, results))
    assert text.count("<script") == 1  # the script of the page
    for words in (f"{escape(evil)}.h5", escape(CLASSES[2]), f"{escape(evil)}, for", f"trained on {escape(evil)}"):
        assert words in text
    training = make_run(tmp_path / "run", title=evil, data=evil, command=evil, findings=[evil], machine={evil: evil})
    text = read_text(write_training_page(training))
    assert "<script" not in text
    assert "<b>" not in text  # a setting
    assert text.count(escape(evil)) >= 5
    assert escape(CLASSES[2]) in text


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": None},
        {"certain": True, "reason": "", "t_start_us": 5, "t_end_us": 1_000_005},
    ],
)
def test_classification_page_works_without_labels_scores_pictures_or_layers(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    trained_on = "folder a; then folder a; then folder b"
    run = RUN.model_copy(update={"stateful": True, "hop_us": None, "trained_on": trained_on})
    result = make_prediction(
        "a.h5", **({"reason": "too small", "warnings": ("repeated to 3.36 s; use sensor=WxH",)} | changes)
    )
    text = read_text(write_answers_page(OutputFolder(tmp_path), run, [result]))
    assert "trained on folder a; then folder b<" in text
    assert "<h2>Scores" not in text
    assert "<video" not in text
    assert "ynthetic" not in text
    assert ("perhaps drums" in text) == (not result.certain)
    assert ("too small" in text) == (not result.certain)
    assert "repeated to 3.36 s<" in text  # without advice in the spelling of Python


def test_page_shows_moved_regions_and_a_part_of_many_segments(tmp_path: Path) -> None:
    look = LookRow(t_us=None, left=53, top=4, width=82, height=82)
    for looked_at, shown in (([look, look.model_copy(update={"t_us": 1000})], 1), ([], 0)):
        result = make_prediction(picture="160x120", looked_at=looked_at, segments=SEGMENTS * 100)
        text = read_text(write_answers_page(OutputFolder(tmp_path), RUN, [result]))
        assert text.count("region 82x82+53+4<") == shown
        assert mentions(text, "300 segments", "segments.csv")
        assert len(re.findall(r"<tr><td>(?:drums|uncertain|&lt;script)", text)) == 200


def test_missing_template_variable_is_an_error() -> None:
    template = environment().from_string("{{ missing }}{{ present.missing }}")
    with pytest.raises(UndefinedError, match="missing"):
        template.render(present=RUN)


def test_page_is_written_in_bounded_memory(tmp_path: Path) -> None:
    folder, result = OutputFolder(tmp_path), make_prediction("a.h5")
    write_answers_page(folder, RUN, [result])  # compiles the templates
    overlay = folder.of("a.h5").overlay
    overlay.parent.mkdir()
    overlay.write_bytes(bytes(24 << 20))
    tracemalloc.start()
    page = write_answers_page(folder, RUN, [result])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert page.stat().st_size > 32 << 20
    assert peak < 12 << 20


def test_page_links_media_beyond_its_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = OutputFolder(tmp_path)
    results = draw_all(folder, ["a.h5", "b #1.h5"])
    files = folder.of("a.h5")
    monkeypatch.setattr(answers, "MAX_MEDIA_BYTES", files.overlay.stat().st_size)
    text = read_text(write_answers_page(folder, RUN, results))
    assert text.count("data:video/webm") == 1
    assert 'src="b%20%231.h5/overlay.webm"></video>' in text


PROBE = """<script>
addEventListener('load', async () => {
  const found = {videos: []};
  found.closed = [...document.querySelectorAll('details')].filter(each => !each.open).length;
  for (const summary of document.querySelectorAll('details:not([open]) > summary')) summary.click();
  found.stillClosed = [...document.querySelectorAll('details')].filter(each => !each.open).length;
  for (const video of document.querySelectorAll('video')) {
    await video.play();
    await new Promise(done => { video.ontimeupdate = () => { if (video.currentTime > 0.1) done(); }; });
    found.videos.push(video.duration);
  }
  found.links = [...document.links].map(link => document.querySelector(link.getAttribute('href')) !== null);
  found.loaded = performance.getEntriesByType('resource').map(e => e.name).filter(name => !name.startsWith('data:'));
  document.body.innerHTML = '<pre id="probe">' + JSON.stringify(found) + '</pre>';
});
</script></body>"""


def run_in_browser(page: Path, script: str) -> Any:
    """Run a script at the end of the page without a network; return the JSON that it leaves in `pre#probe`."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")
    done = subprocess.run(
        [
            chromium,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=10000000",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--autoplay-policy=no-user-gesture-required",
            f"--user-data-dir={page.parent / 'profile'}",
            "--dump-dom",
            probed.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
    )
    match = re.search('<pre id="probe">(.*?)</pre>', done.stdout)
    assert match, done.stdout[-500:] + done.stderr[-500:]
    return json.loads(unescape(match[1]))


def test_classification_page_plays_overlays_in_an_offline_browser(tmp_path: Path) -> None:
    found = run_in_browser(make_answers(tmp_path, ["a.h5", "deep/b.h5", "c.h5", "d.h5"]), PROBE)
    # segments of all recordings, and the network
    assert (found["closed"], found["stillClosed"]) == (4 + 1, 0)
    assert found["videos"] == pytest.approx([38 / 15] * 4, abs=0.05)
    assert found["links"] == [True] * 4
    assert found["loaded"] == []


PLAYER = """<script>
addEventListener('load', async () => {
  const found = {}, video = document.querySelector('video');
  if (video.readyState < 1) await new Promise(done => { video.onloadedmetadata = done; });
  const slider = [...document.querySelectorAll('.axes input')].find(each => each.offsetWidth);
  const axes = document.querySelector('.plot.wide .axes').getBoundingClientRect();
  const picture = document.querySelector('.plot.wide image').getBoundingClientRect();
  const texts = [...document.querySelectorAll('.plot.wide text')].map(each => each.getBoundingClientRect());
  found.edges = [axes.left - picture.left, axes.right - picture.right, axes.top - picture.top];
  found.hidden = texts.filter(text => text.left < axes.left && text.right > axes.left && text.bottom > axes.top
    && text.top < axes.bottom).length;
  found.fontPx = Math.min(...texts.map(text => text.height));
  const sought = () => new Promise(done => { video.onseeked = done; });
  const see = async (name) => { await sought(); found[name] = [video.currentTime, Number(slider.value)]; };
  slider.value = 1.25;
  slider.dispatchEvent(new Event('input'));
  await see('middle');
  document.querySelectorAll('button[data-start]')[2].click();
  await see('segment');
  document.body.innerHTML = '<pre id="probe">' + JSON.stringify(found) + '</pre>';
});
</script></body>"""


def test_timeline_follows_the_video_and_seeks_it(answers_page: Path) -> None:
    """The recording of 2.5 s plays in real time, so playing time equals time since the first event."""
    found = run_in_browser(answers_page, PLAYER)
    for name, time_s in {"middle": 1.25, "segment": 1.5}.items():
        assert found[name] == pytest.approx([time_s, time_s], abs=0.04), name
    assert found["edges"] == pytest.approx([0, 0, 0], abs=2)
    assert found["hidden"] == 0  # by the line at time 0
    assert found["fontPx"] >= 10


def test_pages_do_not_scroll_sideways(tmp_path: Path, training_page: Path) -> None:
    """On phone and desktop, even with a long name without break positions."""
    pages = make_answers(tmp_path, ["a" * 60 + ".h5"]), training_page
    contents = [escape(page.read_text(encoding="utf-8")) for page in pages]
    frames = "".join(
        f'<iframe width={width} height=900 srcdoc="{content}"></iframe>'
        for content in contents
        for width in (390, 1300)
    )
    (tmp_path / "frames.html").write_text(f"<!DOCTYPE html><body>{frames}</body>", encoding="utf-8")
    shown = run_in_browser(tmp_path / "frames.html", WIDTHS)
    assert [found["width"] for found in shown] == 2 * [390, 1300]
    for found in shown:
        assert found["page"] <= found["width"]


WIDTHS = """<script>
addEventListener('load', () => {
  const found = [...document.querySelectorAll('iframe')].map(frame => {
    const inner = frame.contentDocument;
    return {width: frame.clientWidth, page: inner.documentElement.scrollWidth};
  });
  document.body.innerHTML = '<pre id="probe">' + JSON.stringify(found) + '</pre>';
});
</script></body>"""

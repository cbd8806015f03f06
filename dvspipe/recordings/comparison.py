"""Compare two recordings of a scene, for example simulated and real events, or the events of two simulators.

A is the reference; B is compared with it. Both must share a clock: nothing is shifted or scaled to fit. Undefined
figures, such as a ratio to 0 events, are None.

Each group of figures has a function that computes it: rates and intervals of one recording (`_compute_figures`),
ratios, correlations of maps, overlap of voxels, and distances to the nearest events. Their kernels read the events of
both recordings once, in time order or address by address.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, ConfigError, EventError
from ..base.kernels import njit
from ..base.progress import NamedStep, Progress, ignore_progress
from ..base.texts import Described, TextTable
from ..events import Events, SensorSize, concatenate
from ..events.correlation import correlate
from ..formats import NO_HINTS, Hints, Recording, RecordingLike, open_recording
from .editing import find_common_sensor

BLUR_PX = 5  # side of the box filter, as for the published figures of real DAVIS recordings
INTERVAL_DECADES = 8  # 1 us to 100 s
INTERVAL_BINS_PER_DECADE = 100
INTERVAL_BINS = INTERVAL_DECADES * INTERVAL_BINS_PER_DECADE
MAX_COMPARED_PIXELS = 1 << 23  # slightly more than 3840x2160; maps and sums take about 160 bytes per pixel
MAX_BINS = 10_000_000  # 80 MB of counts; a longer span means that the recordings do not share a clock

# Times in microseconds. All bins, windows and voxels start at the earliest event of the two recordings.
WINDOW_US = 40_000  # window of signed count maps: a frame interval at 25 fps
BIN_US = 10_000  # bin of the rate curves
VOXEL_US = 10_000  # a voxel spans this time, one pixel and one polarity
REACH_US = 50_000  # maximum distance of a nearest event


@dataclass(frozen=True, eq=False, repr=False)
class RecordingFigures(Brief):
    """Figures of one recording.

    Attributes:
        events: Number of events.
        duration_us: Time from the first to the last event in microseconds.
        rate_hz: Events per second over this duration; None if it is 0.
        on_share: ON events / all events, 0 to 1; None if there are no events.
        on_off_ratio: ON events / OFF events; None if there are no OFF events.
        bin_counts: Events per bin of BIN_US on the shared time axis, int64 [bins]. The last bin may end after the last
            event.
        interval_counts: Histogram of intervals between successive events of a pixel, of either polarity, int64
            [INTERVAL_BINS]. Bins are evenly spaced in log10; intervals below 1 us count in the first bin, above 100 s
            in the last.
        pixel_counts: Events per polarity (0 OFF, 1 ON) and pixel, int64 [2, H, W].
    """

    events: int
    duration_us: int
    rate_hz: float | None
    on_share: float | None
    on_off_ratio: float | None
    bin_counts: NDArray[np.int64]
    interval_counts: NDArray[np.int64]
    pixel_counts: NDArray[np.int64]

    @property
    def unsigned_map(self) -> NDArray[np.int64]:
        """ON + OFF events per pixel, int64 [H, W]."""
        off, on = self.pixel_counts
        return np.asarray(on + off)

    @property
    def signed_map(self) -> NDArray[np.int64]:
        """ON - OFF events per pixel, int64 [H, W]."""
        off, on = self.pixel_counts
        return np.asarray(on - off)


@dataclass(frozen=True)
class Ratios:
    """Ratios B / A of the figures in `RecordingFigures`; None if A's figure is 0 or either is None."""

    events: float | None
    duration: float | None
    rate: float | None
    on_share: float | None
    on_off_ratio: float | None


@dataclass(frozen=True)
class MapCorrelations:
    """Pearson correlation of the count maps of A and B over pixels, -1 to 1; None if a map is constant.

    Unsigned maps count ON + OFF events per pixel, signed maps ON - OFF. Blurred maps are averaged over a box of
    5 x 5 pixels, without the pixels outside the sensor.

    Attributes:
        unsigned: Correlation of unsigned maps of all events.
        signed: Correlation of signed maps of all events.
        unsigned_blurred: Correlation of blurred unsigned maps of all events.
        signed_blurred: Correlation of blurred signed maps of all events.
        signed_blurred_per_window: Median correlation of blurred signed maps over windows of window_us.
        windows: Number of windows in this median: windows with events in both recordings and a defined correlation.
        windows_with_events: Number of windows with events in either recording. If it is much larger than `windows`, the
            median has little meaning.

    Source: Pearson, "Note on regression and inheritance in the case of two parents", Proc. R. Soc. London 58 (1895).
    """

    unsigned: float | None
    signed: float | None
    unsigned_blurred: float | None
    signed_blurred: float | None
    signed_blurred_per_window: float | None
    windows: int
    windows_with_events: int


@dataclass(frozen=True)
class VoxelOverlap:
    """Overlap of occupied voxels (window of VOXEL_US, polarity, pixel).

    Attributes:
        a: Voxels with an event in A.
        b: Voxels with an event in B.
        both: Voxels with an event in both.
        precision: both / b, 0 to 1; None if b is 0.
        recall: both / a, 0 to 1; None if a is 0.
        f1: 2 both / (a + b), the harmonic mean of precision and recall, 0 to 1; None if a and b are 0.

    Source: van Rijsbergen, "Information Retrieval" (1979), chapter 7.
    """

    a: int
    b: int
    both: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class NearestDistance:
    """Time from each event of one recording to the nearest event of the other, at the same pixel and polarity.

    Attributes:
        median_us: Median of |t - t'| in microseconds over events with a neighbour within REACH_US; None if there are
            none.
        p90_us: 90th percentile of |t - t'| over the same events, linearly interpolated.
        without_share: Fraction of events without a neighbour within REACH_US, 0 to 1; None if there are no events.
    """

    median_us: float | None
    p90_us: float | None
    without_share: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Described, Brief):
    """Comparison of a recording B with a reference A.

    Attributes:
        sensor: Sensor size of both.
        window_us: Length of the windows of `maps` in microseconds.
        start_us: Start of all bins, windows and voxels: the earliest event of the two, in microseconds; None if there
            are no events.
        a: Figures of A.
        b: Figures of B.
        ratios: Figures of B / figures of A.
        rate_correlation: Pearson correlation of the rate curves (bin_counts), -1 to 1; None if one is constant.
        maps: Correlations of count maps.
        voxels: Overlap in space and time.
        nearest_to_a: Distances from events of A to the nearest event of B; reveals events missing in B.
        nearest_to_b: Distances from events of B to the nearest event of A; reveals surplus events in B.
        interval_distance: Wasserstein-1 distance between the distributions of log10(interval) in interval_counts, in
            decades; 0.3 means that intervals differ by a factor of 2 on average. Accurate to 0.01, the width of a bin;
            None if a recording has no interval.
            Source: W1 is the area between the distribution functions; Vallender, "Calculation of the Wasserstein
            distance between probability distributions on the line", Theory Probab. Appl. 18 (1974).
    """

    sensor: SensorSize
    window_us: int
    start_us: int | None
    a: RecordingFigures
    b: RecordingFigures
    ratios: Ratios
    rate_correlation: float | None
    maps: MapCorrelations
    voxels: VoxelOverlap
    nearest_to_a: NearestDistance
    nearest_to_b: NearestDistance
    interval_distance: float | None
    bin_us: ClassVar[int] = BIN_US
    voxel_us: ClassVar[int] = VOXEL_US
    reach_us: ClassVar[int] = REACH_US

    def describe(self) -> Sequence[TextTable]:
        """Return a table of the figures, with their meanings."""
        table = TextTable("figure", "A", "B", "B/A", "meaning", optional=("meaning",))
        a = self.a
        b = self.b
        ratios = self.ratios
        table.add_row("events", a.events, b.events, _format(ratios.events), "number of events")
        seconds = (f"{figures.duration_us * 1e-6:.3f} s" for figures in (a, b))
        table.add_row("duration", *seconds, _format(ratios.duration), "from the first event to the last")
        table.add_row("events per second", _format(a.rate_hz), _format(b.rate_hz), _format(ratios.rate), "")
        table.add_row("ON share", _format(a.on_share), _format(b.on_share), _format(ratios.on_share), "")

        likeness = TextTable("figure", "value", "meaning", optional=("meaning",))
        maps = self.maps
        voxels = self.voxels
        blurred = f"median of {maps.windows} windows of {self.window_us / 1000:g} ms, after a 5 x 5 box blur"
        near = f"to the nearest event of the other at the pixel and polarity, within {REACH_US / 1000:g} ms"
        alone = f"without one of the other within {REACH_US / 1000:g} ms"
        rows = (
            ("rate correlation", self.rate_correlation, f"Pearson correlation of events per {BIN_US / 1000:g} ms"),
            ("count correlation", maps.unsigned, "over pixels, of ON + OFF events"),
            ("signed correlation", maps.signed, "over pixels, of ON - OFF events"),
            ("signed correlation per window", maps.signed_blurred_per_window, blurred),
            ("voxel F1", voxels.f1, f"a voxel is {VOXEL_US / 1000:g} ms, one pixel and one polarity"),
            ("voxel precision", voxels.precision, "share of B's voxels where A also has events"),
            ("voxel recall", voxels.recall, "share of A's voxels where B also has events"),
            ("time from A to B, us", self.nearest_to_a.median_us, f"median, {near}"),
            ("time from B to A, us", self.nearest_to_b.median_us, f"median, {near}"),
            ("only in A", self.nearest_to_a.without_share, f"events of A, {alone}"),
            ("only in B", self.nearest_to_b.without_share, f"events of B, {alone}"),
            ("interval distance", self.interval_distance, "Wasserstein-1, of log10(interval); 0.3: a factor of 2"),
        )
        for name, value, meaning in rows:
            likeness.add_row(name, _format(value), meaning)
        return table, likeness

    @property
    def interval_edges_us(self) -> NDArray[np.float64]:
        """Bin edges of interval_counts in microseconds, 1 us to 100 s, float64 [INTERVAL_BINS + 1]."""
        return np.asarray(10 ** (np.arange(INTERVAL_BINS + 1) / INTERVAL_BINS_PER_DECADE))

    def to_record(self) -> dict[str, Any]:
        """Return a dict of lists, numbers and None for JSON, without the maps (pixel_counts)."""
        record: dict[str, Any] = _to_plain(self)

        # Constants that the figures depend on, beside the length of windows.
        record |= {"bin_us": BIN_US, "voxel_us": VOXEL_US, "reach_us": REACH_US}

        for side in ("a", "b"):
            del record[side]["pixel_counts"]

        return record | {"interval_edges_us": self.interval_edges_us.tolist()}


def _format(value: float | None) -> str:
    return "undefined" if value is None else f"{value:,.4g}"


def compare_recordings(
    a: Recording, b: Recording, window_us: int = WINDOW_US, progress: Progress = ignore_progress
) -> Comparison:
    """Compare two open recordings; see `dvspipe.compare`."""
    size = find_common_sensor([a, b])
    if size.width * size.height > MAX_COMPARED_PIXELS:
        raise EventError(f"{a.path}: sensor {size} is too large (expected {MAX_COMPARED_PIXELS:,} pixels)")

    # Two steps read the recordings, the third one compares them window by window.
    reading_a = NamedStep(progress, str(a.path), number=0, steps=3)
    reading_b = NamedStep(progress, str(b.path), number=1, steps=3)
    comparing = NamedStep(progress, "windows", number=2, steps=3)
    events_a = concatenate(a.chunks(progress=reading_a), size)
    events_b = concatenate(b.chunks(progress=reading_b), size)
    return _compare(events_a, events_b, window_us, comparing)


def _compare(a: Events, b: Events, window_us: int, progress: Progress) -> Comparison:
    start_us = min((int(events.t[0]) for events in (a, b) if len(events)), default=None)
    origin_us = start_us or 0
    bins = _count_bins(a, b, origin_us)
    figures_a = _compute_figures(a, origin_us, bins)
    figures_b = _compute_figures(b, origin_us, bins)
    grouped_a = _group_by_address(a)
    grouped_b = _group_by_address(b)

    return Comparison(
        sensor=a.sensor,
        window_us=window_us,
        start_us=start_us,
        a=figures_a,
        b=figures_b,
        ratios=_compute_ratios(figures_a, figures_b),
        rate_correlation=correlate(figures_a.bin_counts, figures_b.bin_counts),
        maps=_correlate_maps((a, b), (figures_a, figures_b), origin_us, window_us, progress),
        voxels=_measure_overlap(a, b, origin_us),
        nearest_to_a=_measure_nearest(grouped_a, grouped_b),
        nearest_to_b=_measure_nearest(grouped_b, grouped_a),
        interval_distance=_measure_distance(figures_a.interval_counts, figures_b.interval_counts),
    )


def _to_plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value


def _count_bins(a: Events, b: Events, origin_us: int) -> int:
    """Return the number of bins from origin_us, the earliest event of the two, to the latest event."""
    filled = [(name, events) for name, events in (("A", a), ("B", b)) if len(events)]

    # An empty recording has no span.
    bins = max(((int(events.t[-1]) - origin_us) // BIN_US + 1 for _, events in filled), default=0)
    if bins > MAX_BINS:
        spans = " and ".join(f"{name} from {events.t[0]} to {events.t[-1]} us" for name, events in filled)
        raise EventError(
            f"time span too long for bins of {BIN_US} us ({spans}; found {bins} bins, expected at most {MAX_BINS}); "
            "shift one recording in time if their clocks differ"
        )

    return bins


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _compute_ratios(a: RecordingFigures, b: RecordingFigures) -> Ratios:
    return Ratios(
        events=_ratio(b.events, a.events),
        duration=_ratio(b.duration_us, a.duration_us),
        rate=_ratio(b.rate_hz, a.rate_hz),
        on_share=_ratio(b.on_share, a.on_share),
        on_off_ratio=_ratio(b.on_off_ratio, a.on_off_ratio),
    )


def _addresses(events: Events) -> NDArray[np.int32]:
    """Return the flat index of each event in [2, H, W]; int32 is sufficient for the largest sensor."""
    rows = events.p.astype(np.int32) * events.sensor.height + events.y
    return rows * np.int32(events.sensor.width) + events.x


def count_polarities(events: Events) -> NDArray[np.int64]:
    """Return the number of events per polarity (0 OFF, 1 ON) and pixel, int64 [2, H, W]."""
    width = events.sensor.width
    height = events.sensor.height
    return np.bincount(_addresses(events), minlength=2 * height * width).reshape(2, height, width)


def _compute_figures(events: Events, origin_us: int, bins: int) -> RecordingFigures:
    pixel_counts = count_polarities(events)
    off, on = pixel_counts.sum(axis=(1, 2)).tolist()

    interval_counts = np.zeros(INTERVAL_BINS, np.int64)
    pixels = events.sensor.width * events.sensor.height
    last = np.full(pixels, -1, np.int64)  # index of the last event of each pixel
    _count_intervals(events.t, _addresses(events), last, interval_counts)

    return RecordingFigures(
        events=len(events),
        duration_us=events.duration_us,
        rate_hz=_ratio(len(events), events.duration_us * 1e-6),
        on_share=_ratio(on, len(events)),
        on_off_ratio=_ratio(on, off),
        bin_counts=np.bincount((events.t - origin_us) // BIN_US, minlength=bins),
        interval_counts=interval_counts,
        pixel_counts=pixel_counts,
    )


@njit(cache=True, nogil=True)
def _count_intervals(
    t: NDArray[np.int64], addresses: NDArray[np.int32], last: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    # An interval is the time since the previous event of the pixel, of either polarity; its bin is the integer part of
    # log10(interval) * INTERVAL_BINS_PER_DECADE. Simultaneous events count as 1 us, because their logarithm is not
    # finite. An address is an index into [2, H, W]; modulo H * W, the length of `last`, it is the pixel.
    for event in range(len(t)):
        pixel = addresses[event] % len(last)
        if last[pixel] >= 0:
            interval_us = max(t[event] - t[last[pixel]], 1)
            interval_bin = int(math.log10(interval_us) * INTERVAL_BINS_PER_DECADE)
            counts[min(interval_bin, INTERVAL_BINS - 1)] += 1
        last[pixel] = event


def _correlate_maps(
    both: tuple[Events, Events],
    figures: tuple[RecordingFigures, RecordingFigures],
    origin_us: int,
    window_us: int,
    progress: Progress,
) -> MapCorrelations:
    unsigned = [recording.unsigned_map for recording in figures]
    signed = [recording.signed_map for recording in figures]

    # In a window with events in one recording only, a map is constant: its correlation is not defined.
    a, b = both
    windows_a = np.unique((a.t - origin_us) // window_us)
    windows_b = np.unique((b.t - origin_us) // window_us)
    windows = np.intersect1d(windows_a, windows_b, assume_unique=True).tolist()

    per_window = []
    for number, window in enumerate(windows):
        progress(number, len(windows))
        begin_us = origin_us + window * window_us
        end_us = begin_us + window_us
        per_window.append(correlate(_blur_signed(a, begin_us, end_us), _blur_signed(b, begin_us, end_us)))
    defined = [value for value in per_window if value is not None]

    return MapCorrelations(
        unsigned=correlate(*unsigned),
        signed=correlate(*signed),
        unsigned_blurred=correlate(*map(_blur, unsigned)),
        signed_blurred=correlate(*map(_blur, signed)),
        signed_blurred_per_window=float(np.median(defined)) if defined else None,
        windows=len(defined),
        windows_with_events=len(np.union1d(windows_a, windows_b)),
    )


def _blur_signed(events: Events, start_us: int, stop_us: int) -> NDArray[np.float64]:
    """Return the blurred signed map of a time span, float64 [H, W]."""
    off, on = count_polarities(events.between(start_us, stop_us))
    return _blur(on - off)


def _blur(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Apply a box filter of BLUR_PX x BLUR_PX pixels without the pixels outside the sensor; float64 [H, W].

    The sums are integers: a constant map stays exactly constant.
    """
    height, width = counts.shape
    blurred = np.empty(counts.shape)
    _box_mean(counts, _box_lengths(height), _box_lengths(width), blurred)

    return blurred


def _box_lengths(side: int) -> NDArray[np.int64]:
    """Return the number of positions of the box around each position that are inside the sensor."""
    index = np.arange(side)
    return np.minimum(index + BLUR_PX // 2 + 1, side) - np.maximum(index - BLUR_PX // 2, 0)


@njit(cache=True, nogil=True)
def _box_mean(
    counts: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64], means: NDArray[np.float64]
) -> None:
    """Write box means, using running sums along columns and rows; the cost does not depend on the box size."""
    # means[y, x] is the sum of the counts in the box around row y and column x, divided by the positions of the box
    # inside the sensor, rows[y] * columns[x]. `sums` moves down with the box, `total` to the right; they begin `reach`
    # rows above the first row, and hold the part of the box inside the sensor.
    height, width = counts.shape
    reach = BLUR_PX // 2
    sums = np.zeros(width, np.int64)  # per column, sum of the rows within reach
    for row in range(-reach, height):
        if row + reach < height:
            sums += counts[row + reach]
        if row - reach > 0:
            sums -= counts[row - reach - 1]

        if row < 0:
            continue

        total = sums[:reach].sum()
        for column in range(width):
            if column + reach < width:
                total += sums[column + reach]
            if column - reach > 0:
                total -= sums[column - reach - 1]
            means[row, column] = total / (rows[row] * columns[column])


def _measure_overlap(a: Events, b: Events, origin_us: int) -> VoxelOverlap:
    windows_a = (a.t - origin_us) // VOXEL_US
    windows_b = (b.t - origin_us) // VOXEL_US
    stamps = np.full((2, 2 * a.sensor.height * a.sensor.width), -1, np.int64)
    count_a, count_b, both = _count_voxels(windows_a, _addresses(a), windows_b, _addresses(b), stamps)

    return VoxelOverlap(
        a=count_a,
        b=count_b,
        both=both,
        precision=_ratio(both, count_b),
        recall=_ratio(both, count_a),
        f1=_ratio(2 * both, count_a + count_b),
    )


@njit(cache=True, nogil=True)
def _count_voxels(
    windows_a: NDArray[np.int64],
    addresses_a: NDArray[np.int32],
    windows_b: NDArray[np.int64],
    addresses_b: NDArray[np.int32],
    stamps: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Count the voxels occupied in A, in B and in both, window by window.

    A stamp is the last window with an event at an address; this avoids clearing an array for each window.
    """
    # The windows of the events of A and B, [N], never decrease, so a merge visits each window once. An address is an
    # index into [2, H, W]; stamps are [2, 2 * H * W], a row for A and one for B.
    count_a = 0
    count_b = 0
    both = 0
    next_a = 0
    next_b = 0
    while next_a < len(windows_a) or next_b < len(windows_b):
        if next_b == len(windows_b) or (next_a < len(windows_a) and windows_a[next_a] < windows_b[next_b]):
            window = windows_a[next_a]
        else:
            window = windows_b[next_b]

        while next_a < len(windows_a) and windows_a[next_a] == window:
            address = addresses_a[next_a]
            count_a += stamps[0, address] != window
            stamps[0, address] = window
            next_a += 1

        # A has been counted: a voxel of B that A has stamped in this window belongs to both.
        while next_b < len(windows_b) and windows_b[next_b] == window:
            address = addresses_b[next_b]
            if stamps[1, address] != window:
                count_b += 1
                both += stamps[0, address] == window
            stamps[1, address] = window
            next_b += 1

    return count_a, count_b, both


class _TimesByAddress(NamedTuple):
    """Times of events, grouped by address.

    Args:
        begins: Index of the first time of each address, int64 [2 * H * W + 1].
        times: Times in microseconds, ascending within an address, int64 [N].
    """

    begins: NDArray[np.int64]
    times: NDArray[np.int64]


def _group_by_address(events: Events) -> _TimesByAddress:
    """Group times by address, with a stable counting sort."""
    begins = np.concatenate(([0], count_polarities(events).ravel().cumsum()))
    times = np.empty(len(events), np.int64)
    # `_scatter` advances the begins that it gets, so it gets a copy.
    _scatter(events.t, _addresses(events), begins[:-1].copy(), times)

    return _TimesByAddress(begins, times)


@njit(cache=True, nogil=True)
def _scatter(
    t: NDArray[np.int64], addresses: NDArray[np.int32], free: NDArray[np.int64], times: NDArray[np.int64]
) -> None:
    # free[address] is the next free index of the group of an address in `times`.
    for event in range(len(t)):
        index = free[addresses[event]]
        times[index] = t[event]
        free[addresses[event]] = index + 1


def _measure_nearest(events: _TimesByAddress, other: _TimesByAddress) -> NearestDistance:
    """Measure the distance of each of the events to the nearest event of the other recording."""
    # Longer than REACH_US: no event at the same address.
    distances = np.full(len(events.times), REACH_US + 1, np.int64)
    _find_nearest(events.begins, events.times, other.begins, other.times, distances)

    near = distances[distances <= REACH_US]
    return NearestDistance(
        median_us=float(np.median(near)) if len(near) else None,
        p90_us=float(np.percentile(near, 90)) if len(near) else None,
        without_share=_ratio(len(distances) - len(near), len(distances)),
    )


@njit(cache=True, nogil=True)
def _find_nearest(
    begins: NDArray[np.int64],
    times: NDArray[np.int64],
    other_begins: NDArray[np.int64],
    other_times: NDArray[np.int64],
    distances: NDArray[np.int64],
) -> None:
    """Write the distance of each time to the nearest other time at the same address, if there is one.

    Within an address, the nearest neighbour never moves back in time, so both indices only increase.
    """
    # begins and other_begins are [2 * H * W + 1]: the times of an address reach from its begin to the next begin,
    # ascending.
    for address in range(len(begins) - 1):
        nearest = other_begins[address]
        end = other_begins[address + 1]
        if nearest == end:
            continue

        for event in range(begins[address], begins[address + 1]):
            distance = abs(other_times[nearest] - times[event])
            while nearest + 1 < end and abs(other_times[nearest + 1] - times[event]) <= distance:
                nearest += 1
                distance = abs(other_times[nearest] - times[event])

            distances[event] = distance


def _measure_distance(counts_a: NDArray[np.int64], counts_b: NDArray[np.int64]) -> float | None:
    """Return the Wasserstein-1 distance between two histograms of log10(interval), in decades; None if one is empty."""
    from scipy.stats import wasserstein_distance

    if not counts_a.any() or not counts_b.any():
        return None

    decades = np.arange(INTERVAL_BINS) / INTERVAL_BINS_PER_DECADE
    return float(wasserstein_distance(decades, decades, counts_a, counts_b))


def compare(
    a: RecordingLike,
    b: RecordingLike,
    *,
    window_us: int = WINDOW_US,
    hints: Hints = NO_HINTS,
    progress: Progress = ignore_progress,
) -> Comparison:
    """Compare two recordings of the same scene: event rates, event counts per pixel, and event times.

    Args:
        a: Reference recording, such as a real one; may be empty.
        b: Recording to compare with it, such as a simulated one, with the same sensor size and clock; may be empty.
        window_us: Length of the windows for correlating signed count maps, in microseconds, > 0.
        hints: Metadata that the recordings do not store.
        progress: Called with the amount done, reading and comparing, and the total.

    Raises:
        EventError: If the sensors differ in size or have more than 2^23 pixels, or the recordings are so far apart in
            time that they cannot share a clock.

    Example:
        >>> from dvspipe import Events
        >>> a = Events([0, 1000], [3, 3], [1, 1], [True, False], "12x7")
        >>> b = Events([20, 1020], [3, 3], [1, 1], [True, False], "12x7")
        >>> comparison = compare(a, b)
        >>> comparison.ratios.events, comparison.voxels.f1, comparison.nearest_to_a.median_us
        (1.0, 1.0, 20.0)
    """
    if window_us < 1:
        raise ConfigError(f"window_us = {window_us}: out of range (expected 1 or more)")
    recording_a = open_recording(a, hints=hints)
    recording_b = open_recording(b, hints=hints)
    return compare_recordings(recording_a, recording_b, window_us, progress)

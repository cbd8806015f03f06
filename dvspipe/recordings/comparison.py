"""Figures that compare two recordings of a scene, such as a simulated and a real one, or those of two simulators.

A is the reference, B is compared with it. Both have the same clock: nothing is shifted or scaled to fit. A figure that
is not defined, such as a ratio to 0 events, is None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from ..config import Settings
from ..errors import EventError
from ..events import Events, SensorSize
from ..events.correlation import correlate
from ..parallel import Progress, ignore_progress

BLUR_PX = 5  # side of the box, as in the figures for real DAVIS recordings
INTERVAL_DECADES = 8  # from 1 us to 100 s
INTERVAL_BINS_PER_DECADE = 100
INTERVAL_BINS = INTERVAL_DECADES * INTERVAL_BINS_PER_DECADE
MAX_COMPARED_PIXELS = 1 << 23  # 3840x2160 and a few more; the maps and sums take about 160 bytes per pixel
MAX_BINS = 10_000_000  # 80 MB of counts; with more, the two recordings do not share a clock


class CompareSettings(Settings):
    """Time settings of a comparison; all windows are counted from the earliest event of the two recordings."""

    bin_us: int = Field(default=10_000, ge=1)
    """Length of a bin of the rate curves in microseconds."""
    window_us: int = Field(default=40_000, ge=1)
    """Length of the windows whose signed count maps are correlated; a frame interval of 25 fps by default."""
    voxel_us: int = Field(default=10_000, ge=1)
    """Length of a voxel in microseconds; its other sides are one pixel and one polarity."""
    reach_us: int = Field(default=50_000, ge=0)
    """Maximum distance in microseconds at which an event counts as the nearest of another."""


@dataclass(frozen=True, eq=False)
class RecordingFigures:
    """Figures of one of the two recordings.

    Attributes:
        events: Number of events.
        duration_us: Time from its first event to its last, microseconds.
        rate_hz: Events per second of that duration; None if it is 0.
        on_share: ON events / all events, 0 to 1; None without events.
        on_off_ratio: ON events / OFF events; None without OFF events.
        bin_counts: int64 [bins], events per bin_us on the shared time axis. The last bin may end after the last event.
        interval_counts: int64 [INTERVAL_BINS], intervals between successive events of the same pixel, of either
            polarity, in bins evenly spaced in log10; shorter ones than 1 us are counted in the first bin, longer ones
            than 100 s in the last.
        pixel_counts: int64 [2, H, W], events per polarity (0 OFF, 1 ON) and pixel.
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
        """ON + OFF events per pixel: [H, W]."""
        return np.asarray(self.pixel_counts[1] + self.pixel_counts[0])

    @property
    def signed_map(self) -> NDArray[np.int64]:
        """ON - OFF events per pixel: [H, W]."""
        return np.asarray(self.pixel_counts[1] - self.pixel_counts[0])


@dataclass(frozen=True)
class Ratios:
    """Figures of B divided by those of A, as `RecordingFigures` defines them; None if A's is 0 or one is None."""

    events: float | None
    duration: float | None
    rate: float | None
    on_share: float | None
    on_off_ratio: float | None


@dataclass(frozen=True)
class MapCorrelations:
    """Pearson's correlation over pixels of count maps of A and B, -1 to 1; None if a map is constant.

    Unsigned maps hold ON + OFF events per pixel, signed ones ON - OFF. Blurred maps hold the mean over the 5 x 5
    pixels around each pixel that are inside the sensor.

    Attributes:
        unsigned: Of all events.
        signed: Of all events.
        unsigned_blurred: Of all events, blurred.
        signed_blurred: Of all events, blurred.
        signed_blurred_per_window: Median over windows of window_us, in each of which the signed maps are blurred and
            correlated.
        windows: Number of windows in that median: those in which it is defined, so that both recordings have events.
        windows_with_events: Number of windows in which either has events. If much larger, the median says little.

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
    """Numbers of voxels (window of voxel_us, polarity, pixel) with an event in A, in B and in both.

    Attributes:
        a: Voxels with an event in A.
        b: Voxels with an event in B.
        both: Voxels with an event in both.
        precision: both / b, 0 to 1; None if b is 0.
        recall: both / a, 0 to 1; None if a is 0.
        f1: 2 both / (a + b), the harmonic mean of the two, 0 to 1; None if a and b are 0.

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
    """Distance in time from each event of one recording to the nearest one of the other at the same pixel and polarity.

    Attributes:
        median_us: Median of |t - t'| over the events that have one within reach_us, microseconds; None if none has.
        p90_us: 90th percentile of the same, linearly interpolated.
        without_share: Events that have none within reach_us / all events, 0 to 1; None without events.
    """

    median_us: float | None
    p90_us: float | None
    without_share: float | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Figures that compare a recording B with a reference A.

    Attributes:
        sensor: The sensor of both.
        settings: Settings of the figures.
        start_us: Start of the time axis of bins, windows and voxels, the earliest event of the two; None without
            events.
        a: Figures of A.
        b: Figures of B.
        ratios: Figures of B / figures of A.
        rate_correlation: Pearson's correlation of the two rate curves (bin_counts), -1 to 1; None if one is constant.
        maps: Correlations of count maps.
        voxels: Overlap in space and time.
        nearest_to_a: From each event of A to the nearest of B: shows events that B lacks.
        nearest_to_b: From each event of B to the nearest of A: shows surplus events of B.
        interval_distance: Wasserstein-1 distance between the distributions of log10(interval) that interval_counts
            hold, in decades: 0.3 means that intervals differ by a factor of 2 on average. Accurate to 0.01,
            the width of a bin; None if a recording has no interval.
            Source: W1 is the area between the distribution functions; Vallender, "Calculation of the Wasserstein
            distance between probability distributions on the line", Theory Probab. Appl. 18 (1974).
    """

    sensor: SensorSize
    settings: CompareSettings
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

    @property
    def interval_edges_us(self) -> NDArray[np.float64]:
        """Edges of the bins of interval_counts, [INTERVAL_BINS + 1], 1 us to 100 s."""
        return np.asarray(10 ** (np.arange(INTERVAL_BINS + 1) / INTERVAL_BINS_PER_DECADE))

    def to_record(self) -> dict[str, Any]:
        """Return everything except the maps (pixel_counts) as dicts, lists, numbers and None."""
        record: dict[str, Any] = _record(self)
        for side in ("a", "b"):
            del record[side]["pixel_counts"]
        return record | {"interval_edges_us": self.interval_edges_us.tolist()}


def compare(
    a: Events, b: Events, settings: CompareSettings = CompareSettings(), progress: Progress = ignore_progress
) -> Comparison:
    """Compare two recordings.

    Args:
        a: The reference; any number of events, including none.
        b: The recording to compare with it, of a sensor of the same size and with the same clock.
        settings: Lengths of bins, windows and voxels, and the maximum distance of a nearest event.
        progress: Called with the number of windows done and in all.

    Raises:
        EventError: The sensors differ in size or have more than 2^23 pixels, or the recordings are so far apart in time
            that they do not share a clock.
    """
    if a.sensor != b.sensor:
        raise EventError(f"wrong sensor of recording B (found {b.sensor}, expected {a.sensor} as recording A)")
    if a.sensor.width * a.sensor.height > MAX_COMPARED_PIXELS:
        raise EventError(f"sensor {a.sensor}: too large to compare (expected at most {MAX_COMPARED_PIXELS:,} pixels)")
    start_us = min((int(events.t[0]) for events in (a, b) if len(events)), default=None)
    origin_us = start_us or 0
    bins = _count_bins(a, b, origin_us, settings.bin_us)
    figures_a, figures_b = (_describe(events, origin_us, bins, settings.bin_us) for events in (a, b))
    grouped_a, grouped_b = _group(a), _group(b)
    return Comparison(
        sensor=a.sensor,
        settings=settings,
        start_us=start_us,
        a=figures_a,
        b=figures_b,
        ratios=_ratios(figures_a, figures_b),
        rate_correlation=correlate(figures_a.bin_counts, figures_b.bin_counts),
        maps=_correlate_maps((a, b), (figures_a, figures_b), origin_us, settings.window_us, progress),
        voxels=_overlap(a, b, origin_us, settings.voxel_us),
        nearest_to_a=_measure_nearest(grouped_a, grouped_b, settings.reach_us),
        nearest_to_b=_measure_nearest(grouped_b, grouped_a, settings.reach_us),
        interval_distance=_measure_distance(figures_a.interval_counts, figures_b.interval_counts),
    )


def _record(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _record(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.model_dump() if isinstance(value, Settings) else value


def _count_bins(a: Events, b: Events, origin_us: int, bin_us: int) -> int:
    """Return the number of bins from the earliest event of the two, at origin_us, to the latest."""
    filled = [(name, events) for name, events in (("A", a), ("B", b)) if len(events)]
    bins = max(((int(events.t[-1]) - origin_us) // bin_us + 1 for _, events in filled), default=0)
    if bins > MAX_BINS:
        spans = " and ".join(f"{name} from {events.t[0]} to {events.t[-1]} us" for name, events in filled)
        raise EventError(
            f"too long a time for bins of {bin_us} us ({spans}; found {bins} bins, expected at most {MAX_BINS}); "
            "shift one recording in time if their clocks differ"
        )
    return bins


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _ratios(a: RecordingFigures, b: RecordingFigures) -> Ratios:
    return Ratios(
        events=_ratio(b.events, a.events),
        duration=_ratio(b.duration_us, a.duration_us),
        rate=_ratio(b.rate_hz, a.rate_hz),
        on_share=_ratio(b.on_share, a.on_share),
        on_off_ratio=_ratio(b.on_off_ratio, a.on_off_ratio),
    )


def _addresses(events: Events) -> NDArray[np.int32]:
    """Return the index of each event in a flat [2, H, W], which fits into int32 even for the largest sensor."""
    rows = events.p.astype(np.int32) * events.sensor.height + events.y
    return rows * np.int32(events.sensor.width) + events.x


def _count_pixels(events: Events) -> NDArray[np.int64]:
    width, height = events.sensor.width, events.sensor.height
    return np.bincount(_addresses(events), minlength=2 * height * width).reshape(2, height, width)


def _describe(events: Events, origin_us: int, bins: int, bin_us: int) -> RecordingFigures:
    pixel_counts = _count_pixels(events)
    off, on = (int(count) for count in pixel_counts.sum(axis=(1, 2)))
    interval_counts = np.zeros(INTERVAL_BINS, np.int64)
    last = np.full(pixel_counts[0].size, -1, np.int64)  # index of each pixel's last event in the recording
    _count_intervals(events.t, _addresses(events), last, interval_counts)
    return RecordingFigures(
        events=len(events),
        duration_us=events.duration_us,
        rate_hz=_ratio(len(events), events.duration_us * 1e-6),
        on_share=_ratio(on, len(events)),
        on_off_ratio=_ratio(on, off),
        bin_counts=np.bincount((events.t - origin_us) // bin_us, minlength=bins),
        interval_counts=interval_counts,
        pixel_counts=pixel_counts,
    )


@njit(cache=True, nogil=True)
def _count_intervals(
    t: NDArray[np.int64], addresses: NDArray[np.int32], last: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    for event in range(len(t)):
        pixel = addresses[event] % len(last)
        if last[pixel] >= 0:
            interval_us = max(t[event] - t[last[pixel]], 1)
            counts[min(int(math.log10(interval_us) * INTERVAL_BINS_PER_DECADE), INTERVAL_BINS - 1)] += 1
        last[pixel] = event


def _correlate_maps(
    both: tuple[Events, Events],
    figures: tuple[RecordingFigures, RecordingFigures],
    origin_us: int,
    window_us: int,
    progress: Progress,
) -> MapCorrelations:
    unsigned = [one.unsigned_map for one in figures]
    signed = [one.signed_map for one in figures]
    windows_a, windows_b = (np.unique((events.t - origin_us) // window_us) for events in both)
    windows = np.intersect1d(windows_a, windows_b, assume_unique=True).tolist()
    per_window = []
    for number, window in enumerate(windows):
        progress(number, len(windows))
        begin_us = origin_us + window * window_us
        parts = (events.slice_time(begin_us, begin_us + window_us) for events in both)
        off_on = [_count_pixels(part) for part in parts]
        per_window.append(correlate(*(_blur(counts[1] - counts[0]) for counts in off_on)))
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


def _blur(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean over the BLUR_PX x BLUR_PX pixels around each pixel that are inside the sensor, float64 [H, W].

    Integers are summed, so that a constant map stays exactly constant.
    """
    height, width = counts.shape
    blurred = np.empty(counts.shape)
    _box_mean(counts, _box_lengths(height), _box_lengths(width), blurred)
    return blurred


def _box_lengths(side: int) -> NDArray[np.int64]:
    """Return how many of the BLUR_PX positions around each position are inside."""
    place = np.arange(side)
    return np.minimum(place + BLUR_PX // 2 + 1, side) - np.maximum(place - BLUR_PX // 2, 0)


@njit(cache=True, nogil=True)
def _box_mean(
    counts: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64], means: NDArray[np.float64]
) -> None:
    """Write box means, from running sums down the columns and along the rows: the cost does not depend on the box."""
    height, width = counts.shape
    reach = BLUR_PX // 2
    sums = np.zeros(width, np.int64)  # of the rows in reach, per column
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


def _overlap(a: Events, b: Events, origin_us: int, voxel_us: int) -> VoxelOverlap:
    windows_a, windows_b = ((events.t - origin_us) // voxel_us for events in (a, b))
    stamps = np.full((2, 2 * a.sensor.height * a.sensor.width), -1, np.int64)
    of_a, of_b, both = _count_voxels(windows_a, _addresses(a), windows_b, _addresses(b), stamps)
    return VoxelOverlap(
        a=of_a,
        b=of_b,
        both=both,
        precision=_ratio(both, of_b),
        recall=_ratio(both, of_a),
        f1=_ratio(2 * both, of_a + of_b),
    )


@njit(cache=True, nogil=True)
def _count_voxels(
    windows_a: NDArray[np.int64],
    addresses_a: NDArray[np.int32],
    windows_b: NDArray[np.int64],
    addresses_b: NDArray[np.int32],
    stamps: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Return the numbers of occupied voxels of A, of B and of both, counted window by window.

    A stamp is the last window in which an address had an event, so that nothing is cleared between windows.
    """
    of_a = of_b = both = next_a = next_b = 0
    while next_a < len(windows_a) or next_b < len(windows_b):
        if next_b == len(windows_b) or (next_a < len(windows_a) and windows_a[next_a] < windows_b[next_b]):
            window = windows_a[next_a]
        else:
            window = windows_b[next_b]
        while next_a < len(windows_a) and windows_a[next_a] == window:
            address = addresses_a[next_a]
            of_a += stamps[0, address] != window
            stamps[0, address] = window
            next_a += 1
        while next_b < len(windows_b) and windows_b[next_b] == window:
            address = addresses_b[next_b]
            if stamps[1, address] != window:
                of_b += 1
                both += stamps[0, address] == window
            stamps[1, address] = window
            next_b += 1
    return of_a, of_b, both


def _group(events: Events) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group times by address, with a stable counting sort.

    Returns:
        The start of each address, int64 [2 * H * W + 1], and the times, int64 [N].
    """
    begins = np.concatenate(([0], _count_pixels(events).ravel().cumsum()))
    times = np.empty(len(events), np.int64)
    _scatter(events.t, _addresses(events), begins[:-1].copy(), times)
    return begins, times


@njit(cache=True, nogil=True)
def _scatter(
    t: NDArray[np.int64], addresses: NDArray[np.int32], free: NDArray[np.int64], times: NDArray[np.int64]
) -> None:
    for event in range(len(t)):
        place = free[addresses[event]]
        times[place] = t[event]
        free[addresses[event]] = place + 1


def _measure_nearest(
    own: tuple[NDArray[np.int64], NDArray[np.int64]], other: tuple[NDArray[np.int64], NDArray[np.int64]], reach_us: int
) -> NearestDistance:
    distances = np.full(len(own[1]), reach_us + 1, np.int64)
    _find_nearest(*own, *other, distances)
    near = distances[distances <= reach_us]
    return NearestDistance(
        median_us=float(np.median(near)) if len(near) else None,
        p90_us=float(np.percentile(near, 90)) if len(near) else None,
        without_share=_ratio(len(distances) - len(near), len(distances)),
    )


@njit(cache=True, nogil=True)
def _find_nearest(
    own_begins: NDArray[np.int64],
    own_times: NDArray[np.int64],
    other_begins: NDArray[np.int64],
    other_times: NDArray[np.int64],
    distances: NDArray[np.int64],
) -> None:
    """Write the distances to the nearest other time of the same address, if it has one.

    The nearest one of a later time is never earlier, so both indices only increase.
    """
    for address in range(len(own_begins) - 1):
        nearest, end = other_begins[address], other_begins[address + 1]
        if nearest == end:
            continue
        for event in range(own_begins[address], own_begins[address + 1]):
            distance = abs(other_times[nearest] - own_times[event])
            while nearest + 1 < end and abs(other_times[nearest + 1] - own_times[event]) <= distance:
                nearest += 1
                distance = abs(other_times[nearest] - own_times[event])
            distances[event] = distance


def _measure_distance(counts_a: NDArray[np.int64], counts_b: NDArray[np.int64]) -> float | None:
    """Return the Wasserstein-1 distance of two histograms of log10(interval); None if one is empty."""
    from scipy.stats import wasserstein_distance

    if not counts_a.any() or not counts_b.any():
        return None
    decades = np.arange(INTERVAL_BINS) / INTERVAL_BINS_PER_DECADE
    return float(wasserstein_distance(decades, decades, counts_a, counts_b))

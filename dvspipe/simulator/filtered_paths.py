"""Compiled loop: low-pass of the levels in moving tiles.

Each tile advances on its own, with the number of steps that its motion needs; between the steps, the input of its
pixels is a straight line. The state of a tile stays in the cache for all of its steps.

For each moving tile, `events_of_filtered_paths` copies its state to a work space (`_copy_tile`), advances it step by
step (`_advance_tile`), and copies the state back. The level at a step is from `paths`, the low-pass from `lowpass`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.kernels import njit
from .lowpass import Darkness, Drive, FilteredPixels, events_of_filtered, write_decay, write_light
from .paths import TILE_PX, UNEXPLAINED, Paths, cell_at, compute_levels
from .words import COLUMN_SHIFT, ROW_SHIFT, TIME_SHIFT, Interval, Words, copy_values, grow

TILE_AREA = TILE_PX * TILE_PX
HIGH, POS, NEG = range(3)  # rows of `_Workspace.levels`


class Tile(NamedTuple):
    """Tile of the band: its first column and row, its size, and its number of steps."""

    x: int
    y: int
    width: int
    height: int
    steps: int


class _Workspace(NamedTuple):
    """Work space for the pixels of a tile.

    Attributes:
        numbers: Index of each pixel in the tile, int32: with it, the tables of `Drive` have an entry per pixel.
        before: Level in the earlier frame.
        after: Level in the later frame.
        last: Level at the previous step.
        now: Level at this step.
        light: Intensity at this step.
        length: See `Decay`.
        shares: See `Decay`.
        still: Empty; see `Drive`.
        cell: Levels of a cell at the previous step, in the later frame, and at this step, float32.
        stages: State of the pixels; see `FilteredPixels`.
        levels: `high`, `pos` and `neg` of the same state, [3, N]: rows HIGH, POS and NEG.
    """

    numbers: NDArray[np.int32]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    last: NDArray[np.float64]
    now: NDArray[np.float64]
    light: NDArray[np.float64]
    length: NDArray[np.float64]
    shares: NDArray[np.complex128]
    still: NDArray[np.uint8]
    cell: NDArray[np.float32]
    stages: NDArray[np.float64]
    levels: NDArray[np.float64]


@njit(error_model="numpy")
def make_workspace(area: int, order: int) -> _Workspace:
    """Return work space for tiles of `area` pixels and a low-pass with `order` stages."""
    return _Workspace(
        np.arange(area).astype(np.int32),
        np.empty(area),
        np.empty(area),
        np.empty(area),
        np.empty(area),
        np.empty(area),
        np.empty(area),
        np.empty(area, np.complex128),
        np.empty(0, np.uint8),
        np.empty(3 * TILE_AREA, np.float32),
        np.empty((order, area)),
        np.empty((3, area)),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def events_of_filtered_paths(
    before: NDArray[Any],
    after: NDArray[Any],
    table: NDArray[np.float64] | None,
    pixels: FilteredPixels,
    paths: Paths,
    darkness: Darkness,
    interval: Interval,
) -> Words:
    """Return the events of moving tiles with a low-pass, unsorted; updates `pixels` in these tiles only.

    `before` and `after` are grey codes with levels in `table`, or levels; the band begins at a row of tiles.
    """
    # Index x and y are the first pixel of a tile in the band, and row, column a pixel of the tile. A tile is copied to
    # the work space, advanced through all of its steps, and copied back: at the edge of the picture it is smaller, so
    # the work space is made again when the area changes.
    words = np.empty(after.size // 8 + TILE_AREA, np.int64)
    filled = 0
    first_row = interval.first_row
    width = interval.width
    height = after.size // interval.width
    order = pixels.stages.shape[0]
    area = 0
    work = make_workspace(TILE_AREA, order)

    for y in range(0, height, TILE_PX):
        for x in range(0, width, TILE_PX):
            steps = int(paths.steps[(first_row + y) // TILE_PX, x // TILE_PX])
            if steps < 2:
                continue
            tile = Tile(x, y, min(TILE_PX, width - x), min(TILE_PX, height - y), steps)
            if tile.width * tile.height != area:
                area = tile.width * tile.height
                work = make_workspace(area, order)

            _copy_tile(tile, width, before, after, table, pixels, work)
            words, filled = _advance_tile(tile, paths, darkness, interval, work, words, filled)

            for row in range(tile.height):
                pixel = (y + row) * width + x
                start = row * tile.width
                for column in range(tile.width):
                    for stage in range(order):
                        pixels.stages[stage, pixel + column] = work.stages[stage, start + column]
                    pixels.high[pixel + column] = work.levels[HIGH, start + column]
    return words[:filled]


@njit(error_model="numpy")
def _copy_tile(
    tile: Tile,
    width: int,
    before: NDArray[Any],
    after: NDArray[Any],
    table: NDArray[np.float64] | None,
    pixels: FilteredPixels,
    work: _Workspace,
) -> None:
    """Copy the levels and the state of a tile to the work space."""
    for row in range(tile.height):
        for column in range(tile.width):
            pixel = (tile.y + row) * width + tile.x + column
            target = row * tile.width + column
            if table is None:
                work.before[target] = before[pixel]
                work.after[target] = after[pixel]
            else:
                work.before[target] = table[before[pixel]]
                work.after[target] = table[after[pixel]]

            for stage in range(pixels.stages.shape[0]):
                work.stages[stage, target] = pixels.stages[stage, pixel]
            work.levels[HIGH, target] = pixels.high[pixel]
            work.levels[POS, target] = pixels.pos[pixel]
            work.levels[NEG, target] = pixels.neg[pixel]


@njit(error_model="numpy")
def _advance_tile(
    tile: Tile,
    paths: Paths,
    darkness: Darkness,
    interval: Interval,
    work: _Workspace,
    words: Words,
    filled: int,
) -> tuple[Words, int]:
    """Advance a tile through all steps of an interval, and append its events to `words`."""
    # Step s of S ends at s / S of the interval, rounded to a microsecond. Within a step, the input is a straight line,
    # and the low-pass finds its crossings as in `lowpass`: the tile is a band of its own, whose values are its pixels.
    numbers, _, after, last, now, light, length, shares, still, _, stages, levels = work
    pixels = FilteredPixels(stages, levels[HIGH], levels[POS], levels[NEG])
    copy_values(work.before, last)
    since_us = 0
    for step in range(1, tile.steps + 1):
        until_us = (2 * step * interval.length_us + tile.steps) // (2 * tile.steps)
        if until_us == since_us:
            continue

        # The last step ends exactly at the later frame.
        if step < tile.steps:
            levels_of_tile(tile, paths, interval.first_row, until_us / interval.length_us, work)
        else:
            copy_values(after, now)
        write_light(now, darkness, light, length, shares.view(np.float64))
        write_decay(light, (until_us - since_us) * darkness.per_us, length, shares.view(np.float64))

        part = Interval(interval.start_us + since_us, until_us - since_us, 0, tile.width)
        step_words = events_of_filtered(Drive(numbers, numbers, last, now, length, shares, still), pixels, part)
        while words.size < filled + step_words.size:
            words = grow(words)

        # Words are sums of fields: adding the start of the step and the corner of the tile moves them into the band.
        offset = (since_us << TIME_SHIFT) + ((interval.first_row + tile.y) << ROW_SHIFT) + (tile.x << COLUMN_SHIFT)
        for k in range(step_words.size):
            words[filled + k] = step_words[k] + offset
        filled += step_words.size

        copy_values(now, last)
        since_us = until_us
    return words, filled


@njit(error_model="numpy")
def levels_of_tile(tile: Tile, paths: Paths, first_row: int, t: float, work: _Workspace) -> None:
    """Write the levels of a tile at the fraction t of the interval to `work.now`."""
    # All pixels follow the straight line from before to after, [N] each, unless motion explains the change of their
    # cell. Index x and y are the first pixel of a cell in the tile, k a pixel of the cell. `levels` has three parts, as
    # `compute_levels` expects: the previous step, the later frame, and this step.
    before = work.before
    after = work.after
    last = work.last
    now = work.now
    levels = work.cell
    for k in range(now.size):
        now[k] = before[k] + t * (after[k] - before[k])

    square = paths.square
    shape = paths.before.fine.shape[2:]
    earlier = paths.before.fine.reshape(-1)
    later = paths.after.fine.reshape(-1)
    side = len(square)
    area = side * side
    parts = 0, area, 2 * area
    for y in range(0, tile.height, side):
        for x in range(0, tile.width, side):
            cell = cell_at(paths, tile.x + x, first_row + tile.y + y)
            if cell.kind & UNEXPLAINED:
                continue

            # A cell cut by the edge of the picture repeats the last row and column; its rest is not written back.
            for k in range(area):
                column = min(x + k % side, tile.width - 1)
                row = min(y + k // side, tile.height - 1)
                pixel = row * tile.width + column
                levels[k] = last[pixel]
                levels[area + k] = after[pixel]

            compute_levels(cell, square, earlier, later, shape, np.float32(t), levels, parts)

            for k in range(area):
                column = x + k % side
                row = y + k // side
                if column < tile.width and row < tile.height:
                    now[row * tile.width + column] = levels[2 * area + k]

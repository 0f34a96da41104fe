#!/usr/bin/env python3
"""Make a teacher's class maps smaller, for a machine that cannot make them itself.

  pool_maps.py runs/teacher/maps.npy runs/teacher/maps3.npy

Reads logits [n, height, width, classes] and writes [n, 3, 3, classes], half precision; train.py reads both. Each image keeps the 16 classes
with the largest mean, rounded to quarters. All other classes get one value: 1.5 below the mean of the 16th. Of maps
of 6 x 6 cells the file is a quarter as large. Needs numpy.
"""
import sys

import numpy as np

CELLS, KEPT, BELOW, CHUNK = 3, 16, 1.5, 1000


def pool(maps):
    """Means of equal rectangles: [n, height, width, classes] to [n, CELLS², classes]. Height and width are multiples of CELLS."""
    n, height, width, classes = maps.shape
    parts = maps.reshape(n, CELLS, height // CELLS, CELLS, width // CELLS, classes)
    return parts.astype(np.float32).mean((2, 4)).reshape(n, CELLS * CELLS, classes)


def keep_best(maps):
    """The KEPT classes with the largest means in quarters, all others at one value below them."""
    best = np.argsort(-maps.mean(1), axis=1)[:, None, :KEPT]
    values = np.clip(np.round(np.take_along_axis(maps, best, 2) * 4), -128, 127) / 4
    rest = values.mean(1)[:, -1] - BELOW
    result = np.repeat(rest[:, None, None], maps.shape[1], 1).repeat(maps.shape[2], 2)
    np.put_along_axis(result, np.broadcast_to(best, values.shape), values, 2)
    return result.astype(np.float16)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    maps = np.load(sys.argv[1], mmap_mode="r")
    parts = [keep_best(pool(maps[i:i + CHUNK])) for i in range(0, len(maps), CHUNK)]
    np.save(sys.argv[2], np.concatenate(parts).reshape(len(maps), CELLS, CELLS, maps.shape[3]))


if __name__ == "__main__":
    main()

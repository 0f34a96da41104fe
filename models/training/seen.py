#!/usr/bin/env python3
"""Which photographs are among Tiny ImageNet's training images: an accuracy on those says little.

  seen.py --data tiny-imagenet-200 PHOTO...

A photograph's class is the WordNet id in its name, as in n02123045_tabby.JPEG. Tiny ImageNet holds the square in the middle of each picture, made
smaller. So the photograph's own is compared with the training images of its class, at 16 x 16 pixels, and the photograph is printed where the
correlation of their colours is above 0.94. The largest correlations with another class, the control, go to the standard error. Needs
train.py's libraries.
"""
import argparse
import os
import re
import sys

import numpy as np
from PIL import Image

from train import load

SIDE, SAME = 16, 0.94


def standardize(images):
    """Values [n, ...] as vectors with mean 0 and length 1: their dot products are correlations."""
    values = images.reshape(len(images), -1)
    values = values - values.mean(1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def middle(path):
    """The largest square in the middle of a photograph, [3, SIDE, SIDE]."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = ((n - side) // 2 for n in image.size)
    square = image.resize((SIDE, SIDE), Image.BOX, (left, top, left + side, top + side))
    return np.asarray(square, np.float32).transpose(2, 0, 1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("photos", nargs="+")
    a = p.parse_args()
    train_x, train_y, _, _, labels = load(a.data)
    rows = {c["id"]: i for i, c in enumerate(labels)}

    def of_class(k):
        images = train_x[train_y == k].numpy().astype(np.float32)
        step = images.shape[-1] // SIDE
        return standardize(images.reshape(len(images), 3, SIDE, step, SIDE, step).mean((3, 5)))

    ids = {path: re.match(r"n\d{8}", os.path.basename(path)) for path in a.photos}
    known = [(path, rows[found[0]]) for path, found in ids.items() if found and found[0] in rows]
    controls = []
    for path, k in known:
        square = standardize(middle(path)[None])
        if (square @ of_class(k).T).max() > SAME:
            print(path)
        controls.append((square @ of_class((k + 1) % len(labels)).T).max())
    print(f"{len(known)} photographs of its classes; with another class at most {max(controls):.3f}", file=sys.stderr)


if __name__ == "__main__":
    main()

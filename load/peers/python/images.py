"""Shared by the Python servers: turns a JPEG into the network's input, as the model's manifest wants it."""
import io
import json
import os

import numpy as np
from PIL import Image

INPUT = json.loads(os.environ["INPUT"])
STD = np.array(INPUT["std"], np.float32)
SCALE = 1 / (INPUT["range"] * STD)
SHIFT = -np.array(INPUT["mean"], np.float32) / STD
SIZE = INPUT["size"]
RESAMPLING = Image.Resampling[INPUT["interpolation"].upper()]


def network_input(data: bytes) -> np.ndarray:
    """float32 [3, SIZE, SIZE]: the short side resized, the middle cut out. Only what is cut out is computed."""
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (INPUT["resize"], INPUT["resize"]))
    image = image.convert("RGB")
    width, height = image.size
    factor = INPUT["resize"] / min(width, height)
    w, h = round(width * factor), round(height * factor)
    left, top = (w - SIZE) // 2, (h - SIZE) // 2
    x, y = width / w, height / h
    box = (left * x, top * y, (left + SIZE) * x, (top + SIZE) * y)
    pixels = np.asarray(image.resize((SIZE, SIZE), RESAMPLING, box), np.float32)
    pixels *= SCALE
    pixels += SHIFT
    return pixels.transpose(2, 0, 1)


def top5(logits: np.ndarray) -> list[dict]:
    best = np.argsort(-logits)[:5]
    return [{"index": int(k), "logit": float(logits[k])} for k in best]

"""What the Python servers share: a JPEG to the network's input."""
import io

import numpy as np
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
SIZE = 224


def network_input(data: bytes) -> np.ndarray:
    """float32 [3, 224, 224]: short side to 256, bilinear, the middle cut out."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    factor = 256 / min(width, height)
    w, h = round(width * factor), round(height * factor)
    left, top = (w - SIZE) // 2, (h - SIZE) // 2
    image = image.resize((w, h), Image.Resampling.BILINEAR).crop((left, top, left + SIZE, top + SIZE))
    pixels = (np.asarray(image, np.float32) / 255 - MEAN) / STD
    return pixels.transpose(2, 0, 1)


def top5(logits: np.ndarray) -> list[dict]:
    best = np.argsort(-logits)[:5]
    return [{"index": int(k), "logit": float(logits[k])} for k in best]

"""The same as decode-round.ts with Pillow, which leaves colour profiles out: a line of JSON for each line that it reads."""
import io
import json
import sys
import time
from pathlib import Path

from PIL import Image

SIZE, RESIZE = 224, 256


def header(data: bytes) -> object:
    return Image.open(io.BytesIO(data)).size


def photo(data: bytes) -> object:
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def network_input(data: bytes) -> object:
    """The short side resized, the middle cut out."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    factor = RESIZE / min(image.size)
    width, height = (round(side * factor) for side in image.size)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + SIZE, top + SIZE)).tobytes()


def taken(step, data: bytes) -> float:
    start = time.process_time()
    step(data)
    return (time.process_time() - start) * 1000


NAMES = (".jpg", ".jpeg", ".png", ".webp")
files = sorted(path for path in Path(sys.argv[1]).iterdir() if path.name.lower().endswith(NAMES))
photos = [path.read_bytes() for path in files]
steps = {"header": header, "photo": photo, "input": network_input}
for _ in sys.stdin:
    times = {name: [taken(step, data) for data in photos] for name, step in steps.items()}
    print(json.dumps(times), flush=True)

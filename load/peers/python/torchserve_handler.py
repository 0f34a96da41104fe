"""TorchServe's handler: decoded and run in its workers, a batch at a time."""
import numpy as np
import torch  # TorchServe's workers expect it to be loaded.

from engines import open_engine
from images import network_input, top5

_run = None


def handle(data, context):
    global _run
    if _run is None:
        torch.set_num_threads(1)
        _run = open_engine("onnxruntime")
    if data is None:
        return None
    photos = [bytes(request.get("file") or request.get("body")) for request in data]
    return [{"top": top5(row)} for row in _run(np.stack([network_input(photo) for photo in photos]))]

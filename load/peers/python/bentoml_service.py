"""BentoML: batched in each worker, one thread and one process a core."""
import os
from pathlib import Path

import bentoml
import numpy as np

from engines import open_engine
from images import network_input, top5


@bentoml.service(workers=int(os.environ.get("CORES", "1")), traffic={"timeout": 60})
class Classifier:
    def __init__(self) -> None:
        self.run = open_engine("onnxruntime")

    @bentoml.api(route="/classify", batchable=True, max_batch_size=8, max_latency_ms=10_000)
    def classify(self, file: list[Path]) -> list[dict]:
        logits = self.run(np.stack([network_input(path.read_bytes()) for path in file]))
        return [{"top": top5(row)} for row in logits]

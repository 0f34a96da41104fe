"""NVIDIA Triton as PyTriton packs it: its dynamic batcher before a Python function and a thread for each core."""
import os

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from engines import open_engine
from images import network_input


def instance():
    run = open_engine("onnxruntime")

    @batch
    def classify(jpeg):
        logits = run(np.stack([network_input(data) for (data,) in jpeg]))
        best = np.argsort(-logits, axis=1)[:, :5]
        return {"index": best, "logit": np.take_along_axis(logits, best, axis=1)}

    return classify


config = TritonConfig(http_address="127.0.0.1", http_port=int(os.environ["PORT"]), allow_grpc=False, allow_metrics=False)
with Triton(config=config) as triton:
    triton.bind(
        model_name="classifier",
        infer_func=[instance() for _ in range(int(os.environ["CORES"]))],
        inputs=[Tensor(name="jpeg", dtype=bytes, shape=(1,))],
        outputs=[Tensor(name="index", dtype=np.int64, shape=(5,)), Tensor(name="logit", dtype=np.float32, shape=(5,))],
        config=ModelConfig(max_batch_size=8, batcher=DynamicBatcher(max_queue_delay_microseconds=5000)),
    )
    triton.serve()

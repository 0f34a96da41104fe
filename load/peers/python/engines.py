"""The net as a function from float32 [N, 3, size, size] to logits [N, 1000], on one thread."""
import os

import numpy as np


def open_engine(name: str):
    return {"onnxruntime": _onnxruntime, "openvino": _openvino, "torch": _torch}[name]()


def _onnxruntime():
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(["logits"], {"input": batch})[0]


def _openvino():
    import openvino as ov

    # In the precision that OpenVINO chooses. Pinned threads of several processes would share the first core.
    settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    model = ov.Core().compile_model(os.environ["MODEL"], "CPU", settings)
    return lambda batch: model(batch, share_inputs=True)["logits"]


def _torch():
    import torch
    from safetensors.torch import load_file
    from torchvision.models import resnet50

    torch.set_num_threads(1)
    model = resnet50()
    model.load_state_dict(load_file(os.environ["WEIGHTS"]), strict=False)
    model.eval().to(memory_format=torch.channels_last)

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)).numpy()

    return run

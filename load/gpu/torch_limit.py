"""PyTorch on this machine's card: images a second of a net by batch, as a line of JSON each.

    python3 torch_limit.py --seconds 60 [--model resnet50] [--batches 1,2,...] [--device cuda]

Weights are random: they cost as much as trained ones. Input lies on the device already, in the form's own type; nothing is
decoded and nothing copied, so these figures are a limit. Batches go from the ones that matter most. Ends by itself.
"""

import argparse
import json
import sys
import time


def say(**line):
    print(json.dumps(line), flush=True)


def skip(why):
    say(skipped=why)
    sys.exit(0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--batches", default="1,32,256,64,8,128,16,4,2")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    options = parser.parse_args()
    end = time.perf_counter() + options.seconds

    try:
        import torch
        import torchvision
    except Exception as error:  # A library that is missing raises OSError, a package ImportError.
        skip(f"PyTorch cannot be loaded: {str(error).splitlines()[0]}")
    say(fact="torch", value=f"{torch.__version__}, torchvision {torchvision.__version__}, CUDA {torch.version.cuda}")
    if options.device == "cuda":
        if not torch.cuda.is_available():
            skip("PyTorch sees no CUDA device")
        properties = torch.cuda.get_device_properties(0)
        say(
            fact="torch device",
            value=f"{properties.name}, compute capability {properties.major}.{properties.minor}, "
            f"{properties.total_memory // 2**20} MiB, cuDNN {torch.backends.cudnn.version()}",
        )

    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    device = torch.device(options.device)
    batches = [int(word) for word in options.batches.split(",")]

    def synchronize():
        if options.device == "cuda":
            torch.cuda.synchronize()

    def net(half):
        made = torchvision.models.get_model(options.model, weights=None).eval().to(device)
        return made.half().to(memory_format=torch.channels_last) if half else made

    def images(batch, half):
        made = torch.rand(batch, 3, 224, 224, device=device)
        return made.half().to(memory_format=torch.channels_last) if half else made

    def graphed(model, x):
        """A call that replays a CUDA graph of the model on x."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                model(x)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model(x)
        return graph.replay

    def milliseconds(call):
        """Of one call among calls that follow each other without a wait: the median of a few such rows, after one."""
        call()
        synchronize()
        started = time.perf_counter()
        call()
        synchronize()
        # About a tenth of a second each.
        length = max(1, min(50, int(0.1 / (time.perf_counter() - started))))
        times = []
        until = min(time.perf_counter() + 0.5, end)
        while len(times) < 3 or time.perf_counter() < until:
            started = time.perf_counter()
            for _ in range(length):
                call()
            synchronize()
            times.append((time.perf_counter() - started) * 1000 / length)
        return sorted(times)[len(times) // 2]

    on_cuda = options.device == "cuda"
    # name, half precision, what makes a call of a model and its input
    forms = [
        ("eager fp32, TF32" if on_cuda else "eager fp32", False, lambda model, x: lambda: model(x)),
        ("eager fp16, channels_last", True, lambda model, x: lambda: model(x)),
    ]
    if on_cuda:
        forms += [
            ("CUDA graph fp16, channels_last", True, graphed),
            ("CUDA graph fp32, TF32", False, graphed),
        ]
    # Compiling takes its time: last.
    compiled = ("torch.compile fp16, channels_last", True)

    def measure(name, half, model, batch, call_of):
        try:
            ms = milliseconds(call_of(model, images(batch, half)))
            say(model=options.model, form=name, batch=batch, ms=ms, perSecond=1000 * batch / ms)
        except Exception as error:
            say(model=options.model, form=name, batch=batch, failure=str(error).splitlines()[0][:300])

    with torch.inference_mode():
        models = {half: net(half) for half in {half for _, half, _ in forms}}
        for batch in batches:
            for name, half, call_of in forms:
                if time.perf_counter() < end:
                    measure(name, half, models[half], batch, call_of)
        if on_cuda and time.perf_counter() < end - 10:
            try:
                model = torch.compile(models[True], mode="reduce-overhead")
                for batch in [256, 32, 1]:
                    if time.perf_counter() < end - 5:
                        measure(*compiled, model, batch, lambda model, x: lambda: model(x))
            except Exception as error:
                say(model=options.model, form=compiled[0], batch=0, failure=str(error).splitlines()[0][:300])


main()

"""TorchServe: an archive of the handler, served by a worker process and a thread for each core, up to 8 images, 5 ms."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.dirname(sys.executable)

store = tempfile.mkdtemp(prefix="torchserve-")
files = [os.path.join(HERE, name) for name in ("engines.py", "images.py")]
subprocess.run(
    [os.path.join(BIN, "torch-model-archiver"), "--model-name", "classifier", "--version", "1", "--export-path", store]
    + ["--handler", os.path.join(HERE, "torchserve_handler.py"), "--extra-files", ",".join(files)],
    check=True,
)
port = int(os.environ["PORT"])
cores = os.environ["CORES"]
config = os.path.join(store, "config.properties")
with open(config, "w") as file:
    file.write(
        f"""inference_address=http://127.0.0.1:{port}
management_address=http://127.0.0.1:{port + 1}
metrics_address=http://127.0.0.1:{port + 2}
disable_token_authorization=true
enable_envvars_config=false
install_py_dep_per_model=false
job_queue_size=1000
models={{"classifier":{{"1.0":{{"defaultVersion":true,"marName":"classifier.mar","minWorkers":{cores},"maxWorkers":{cores},"batchSize":8,"maxBatchDelay":5,"responseTimeout":120}}}}}}
load_models=classifier.mar
"""
    )
os.environ["PATH"] = BIN + os.pathsep + os.environ.get("PATH", "")
os.environ["LOG_LOCATION"] = os.environ["METRICS_LOCATION"] = store
os.chdir(store)
os.execv(
    os.path.join(BIN, "torchserve"),
    ["torchserve", "--start", "--foreground", "--disable-token-auth", "--model-store", store, "--ts-config", config],
)

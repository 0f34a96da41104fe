# Two targets: `docker build --target cpu .` (the default) and `docker build --target cuda .`, the latter with either engine:
# `--build-arg ENGINE=tensorflow`. Only the stages of the engine asked for are built.
#
# The server is the first process of its container, and needs no init: SIGTERM drains it, and it waits for what it starts.
#
# Which steps were run by hand, and which could not be: docs/operations.md, "Containers".
ARG ENGINE=onnxruntime
# CUDA 11.8 and cuDNN 8 have the library names that TensorFlow 2.9 was built for with CUDA 11.2, and know newer GPUs. Another
# TensorFlow (TENSORFLOW_LIBRARY below) wants another image.
ARG TENSORFLOW_CUDA=nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04

FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY src src
COPY scripts scripts
# Of traces: optional peers, which whoever runs a container cannot add. Each later installation names them again, or npm takes them away.
ENV OPENTELEMETRY="@opentelemetry/api@~1.9.1 @opentelemetry/resources@^2.12.1 @opentelemetry/sdk-trace-node@^2.12.1 @opentelemetry/exporter-trace-otlp-proto@^0.223.1"
RUN npm run build && npm prune --omit=dev && npm install --no-save --save-prod --omit=dev $OPENTELEMETRY \
 && find node_modules/@opentelemetry \( -name '*.map' -o -name esnext -o -path '*/build/esm' \) -prune -exec rm -rf {} + \
 && rm -rf node_modules/onnxruntime-node/bin/napi-v6/darwin node_modules/onnxruntime-node/bin/napi-v6/win32
# What is for other systems and processors, as far as npm has installed it.
RUN cd node_modules && rm -rf @img/*-linuxmusl-* @img/sharp-wasm32 \
 && find onnxruntime-node/bin/napi-v6/linux -mindepth 1 -maxdepth 1 ! -name "$(node -p process.arch)" -exec rm -rf {} +

# CUDA libraries for onnxruntime-node: its own install script fetches them; .npmrc keeps it from running by itself. Its
# manifest is called cuda12; since 1.27 the files in it are built for CUDA 13.
FROM build AS build-onnxruntime
RUN ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js

# TensorFlow's binding, an optional peer, and by its install script TensorFlow's C library: 2.9.1, or the archive at the
# address TENSORFLOW_LIBRARY, against which the binding is then compiled.
FROM build AS build-tensorflow
ARG TENSORFLOW_LIBRARY=
RUN npm install --no-save --save-prod --omit=dev $OPENTELEMETRY @tensorflow/tfjs-node-gpu@4.22.0 \
 && if [ -n "$TENSORFLOW_LIBRARY" ]; then \
      apt-get update && apt-get install -y --no-install-recommends g++ make python3 && rm -rf /var/lib/apt/lists/* \
      && printf '{"tf-lib": "%s"}' "$TENSORFLOW_LIBRARY" > node_modules/@tensorflow/tfjs-node-gpu/scripts/custom-binary.json; \
    fi \
 && npm rebuild @tensorflow/tfjs-node-gpu --ignore-scripts=false

FROM build-${ENGINE} AS build-cuda

FROM nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 AS cuda-onnxruntime
FROM ${TENSORFLOW_CUDA} AS cuda-tensorflow

FROM cuda-${ENGINE} AS cuda
ARG ENGINE
# jemalloc, and a font: without one pictures have no words.
RUN apt-get update && apt-get install -y --no-install-recommends libjemalloc2 fontconfig-config fonts-dejavu-core && rm -rf /var/lib/apt/lists/* \
 && useradd --system --create-home --uid 10001 fullconv && install -d -o fullconv -g root -m 775 /var/cache/fullconv
COPY --from=build-cuda /usr/local/bin/node /usr/local/bin/node
WORKDIR /app
COPY --from=build-cuda /app/node_modules node_modules
COPY --from=build-cuda /app/dist dist
COPY package.json ./
COPY models models
ENV NODE_ENV=production HOST=0.0.0.0 LD_PRELOAD=libjemalloc.so.2 UV_THREADPOOL_SIZE=16 \
    FULLCONV_CACHE=/var/cache/fullconv FULLCONV_ENGINE=${ENGINE} FULLCONV_DEVICE=cuda TF_FORCE_GPU_ALLOW_GROWTH=true
# A number: Kubernetes cannot tell that a name is not root.
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["node", "-e", "const { PORT, FULLCONV_TLS_CERT } = process.env; const scheme = FULLCONV_TLS_CERT ? 'https' : 'http'; require(scheme).get(`${scheme}://127.0.0.1:${PORT || 8080}/readyz`, { rejectUnauthorized: false }, ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
CMD ["node", "dist/cli/fullconv.cjs", "serve"]

# OpenVINO's wheel has everything; this is what the engine loads.
FROM python:3.12-slim-bookworm AS openvino
RUN python3 -m pip install --no-cache-dir --no-deps --target /wheel openvino==2026.4.1 && mkdir -p /opt/openvino/libs \
 && cd /wheel/openvino/libs && cp -a libopenvino.so.* libopenvino_c.so.* libopenvino_intel_cpu_plugin.so \
      libopenvino_onnx_frontend.so.* libtbb* /opt/openvino/libs/

FROM node:22-bookworm-slim AS cpu
# jemalloc, and a font: without one pictures have no words.
RUN apt-get update && apt-get install -y --no-install-recommends libjemalloc2 fontconfig-config fonts-dejavu-core && rm -rf /var/lib/apt/lists/* \
 && useradd --system --create-home --uid 10001 fullconv && install -d -o fullconv -g root -m 775 /var/cache/fullconv
WORKDIR /app
COPY --from=openvino /opt/openvino /opt/openvino
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json ./
COPY models models
ENV NODE_ENV=production HOST=0.0.0.0 LD_PRELOAD=libjemalloc.so.2 UV_THREADPOOL_SIZE=8 \
    FULLCONV_CACHE=/var/cache/fullconv FULLCONV_OPENVINO=/opt/openvino
# A number: Kubernetes cannot tell that a name is not root.
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "const { PORT, FULLCONV_TLS_CERT } = process.env; const scheme = FULLCONV_TLS_CERT ? 'https' : 'http'; require(scheme).get(`${scheme}://127.0.0.1:${PORT || 8080}/readyz`, { rejectUnauthorized: false }, ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
CMD ["node", "dist/cli/fullconv.cjs", "serve"]

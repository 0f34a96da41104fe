/** What onnxruntime-node 1.30 says on Linux, word for word, but for the paths; where it was not seen, the test says so. */
import { describe, expect, it } from 'vitest';
import { explainFailure } from '../../../src/runtime/onnxruntime/device-failure.js';

const bridge = (loaded: string, why: string): string =>
  `2026-11-25 07:42:02.854 [E:onnxruntime:onnxruntime-node, provider_bridge_ort.cc:2146 Create] /onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:1988 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /app/${loaded} with error: ${why}: cannot open shared object file: No such file or directory\n`;
const CUDA = 'OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library';
const TENSORRT = 'OrtSessionOptionsAppendExecutionProvider_TensorRT: Failed to load shared library';
const ADAPTER =
  '/onnxruntime_src/onnxruntime/core/providers/webgpu/webgpu_context.cc:136 onnxruntime::webgpu::WebGpuContext::Initialize(const onnxruntime::webgpu::WebGpuContextConfig&)::<lambda()> adapter_result.status == wgpu::RequestAdapterStatus::Success was false. Failed to get a WebGPU adapter: No supported adapters\n';
const LOADER =
  "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file: No such file or directory\n    at operator() (/build/Release/_deps/dawn-src/src/dawn/native/vulkan/BackendVk.cpp:368)\n";
const DRIVER =
  'Warning: vkCreateInstance: Found no drivers!\nWarning: vkCreateInstance failed with VK_ERROR_INCOMPATIBLE_DRIVER\n';

describe('the reason why a device does not work', () => {
  it('names the files of the CUDA provider, which are not in the npm package, and what fetches them', () => {
    const shared = 'libonnxruntime_providers_shared.so';
    const why = explainFailure('cuda', CUDA, bridge(shared, `/app/${shared}`));
    expect(why).toMatch(
      /^libonnxruntime_providers_shared\.so is missing; .*node_modules\/onnxruntime-node\/script\/install\.js$/,
    );
    expect(explainFailure('tensorrt', TENSORRT, bridge(shared, `/app/${shared}`))).toBe(why);
  });

  it.each([
    ['libcudnn.so.9', 'cudnn9-cuda-13'],
    ['libcublasLt.so.13', 'cuda-libraries-13-0'],
    ['libcudart.so.13', 'cuda-libraries-13-0'],
    ['libnvrtc.so.13', 'cuda-libraries-13-0'],
    ['libcuda.so.1', "NVIDIA's driver"],
    ['libnvinfer.so.10', 'libnvinfer10'],
    ['libnvonnxparser.so.10', 'libnvonnxparsers10'],
  ])('names %s, which the provider needs (the linker’s form; not seen)', (library, source) => {
    const why = explainFailure('cuda', CUDA, bridge('libonnxruntime_providers_cuda.so', library));
    expect(why).toContain(`${library} is missing; `);
    expect(why).toContain(source);
  });

  it('names the Vulkan loader, of which only Dawn’s warning tells', () => {
    expect(explainFailure('webgpu', ADAPTER, LOADER)).toMatch(/^libvulkan\.so\.1 is missing; .*libvulkan1/);
  });

  it('names the driver when there is a loader and no adapter', () => {
    expect(explainFailure('webgpu', ADAPTER, DRIVER)).toMatch(/finds no GPU: .*mesa-vulkan-drivers/);
  });

  it('says that a driver is too old', () => {
    const written =
      'Warning: Vulkan shaderUniform*ArrayDynamicIndexing required.\n - While initializing adapter (backend=BackendType::Vulkan)\n';
    expect(explainFailure('webgpu', ADAPTER, written)).toMatch(
      /too old for WebGPU: it lacks Vulkan shaderUniform\*ArrayDynamicIndexing; .*backports/,
    );
  });

  it.each([
    ['coreml', 'macOS'],
    ['dml', 'Windows'],
  ] as const)('says which system %s is for', (kind, system) => {
    const message = `no available backend found. ERR: [${kind}] backend not found.`;
    expect(explainFailure(kind, message, '')).toContain(`${kind} is for ${system}`);
  });

  it('names a library that it does not know', () => {
    const why = 'liboddity.so.3: cannot open shared object file: No such file or directory';
    expect(explainFailure('cuda', why, '')).toBe('liboddity.so.3 is missing');
  });

  it('passes on what it does not know, without where in the engine it was said', () => {
    const message =
      '/onnxruntime_src/onnxruntime/core/providers/webgpu/webgpu_context.cc:150 void onnxruntime::f() device.ok() was false. Out of memory\nmore';
    expect(explainFailure('webgpu', message, '')).toBe('Out of memory');
    const file = 'Load model from /srv/secret place/models/net.onnx failed: /srv/models/weights.bin is gone';
    expect(explainFailure('webgpu', file, '')).not.toContain('/srv');
    expect(explainFailure('cuda', 'its process ended with SIGSEGV', '')).toBe('its process ended with SIGSEGV');
  });
});

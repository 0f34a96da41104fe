/** The engines by name. Only the library of the one that is asked for is loaded. */
import type { Engine, EngineName, EngineOptions } from './session.js';

const ENGINES: Record<EngineName, (options: EngineOptions) => Promise<Engine>> = {
  onnxruntime: async (options) => (await import('./onnxruntime.js')).createOnnxruntimeEngine(options),
  tensorflow: async (options) => (await import('./tensorflow/engine.js')).createTensorflowEngine(options),
};

/** Throws OperatorError when the engine has to be installed first. */
export function loadEngine(name: EngineName, options: EngineOptions): Promise<Engine> {
  return ENGINES[name](options);
}

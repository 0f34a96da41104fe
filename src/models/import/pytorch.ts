/**
 * PyTorch's checkpoints, `.pt`, `.pth`, `.bin`, `.ckpt`: the tensors of a state dict, and the built-in architecture that
 * their names and shapes tell.
 */
import { onThread } from './thread.js';

/** Reads state dicts; nothing in the file is executed. Throws ModelFileError saying what the file is, and what to do. */
export const convertPytorch = onThread('pytorch');

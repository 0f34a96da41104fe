/** What is wrong with a request of the protocol. */
import { ServiceError } from '../../errors.js';

/** INVALID_REQUEST for one place of a request, e.g. `inputs[0].shape`. */
export function faultAt(parameter: string, detail: string): ServiceError {
  return new ServiceError('INVALID_REQUEST', 'The request is not one of the Open Inference Protocol for this model.', {
    errors: [{ parameter, detail }],
  });
}

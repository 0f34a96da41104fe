/**
 * The one table of what can go wrong. Every failure that a client may see is a ServiceError with a code from this
 * table; the code fixes the HTTP status, the title and whether trying again can help. Any other error is a bug: it is
 * logged, and the client gets INFERENCE_FAILED without the details.
 *
 * Source of the response format: RFC 9457 (problem details for HTTP APIs).
 */

export const ERROR_TABLE = {
  INVALID_REQUEST: { status: 400, title: 'The request is malformed', retryable: false },
  UNAUTHENTICATED: { status: 401, title: 'Credentials are missing or wrong', retryable: false },
  FORBIDDEN: { status: 403, title: 'The request is not allowed', retryable: false },
  NOT_FOUND: { status: 404, title: 'There is nothing at this address', retryable: false },
  MODEL_NOT_FOUND: { status: 404, title: 'No such model', retryable: false },
  CLASS_NOT_FOUND: { status: 404, title: 'No such class', retryable: false },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The address does not take this method', retryable: false },
  NOT_ACCEPTABLE: { status: 406, title: 'The answer cannot be given in an accepted media type', retryable: false },
  REQUEST_TIMEOUT: { status: 408, title: 'The request did not arrive in time', retryable: true },
  BODY_TOO_LARGE: { status: 413, title: 'The request has too many bytes', retryable: false },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The image format is not supported', retryable: false },
  UNSUPPORTED_ENCODING: { status: 415, title: 'The Content-Encoding is not supported', retryable: false },
  IMAGE_UNDECODABLE: { status: 422, title: 'The image cannot be decoded', retryable: false },
  IMAGE_NOT_FETCHED: { status: 422, title: 'The image cannot be fetched from its URL', retryable: false },
  IMAGE_TOO_LARGE: { status: 422, title: 'The image, or what is asked of it, is too large', retryable: false },
  OUTPUT_UNSUPPORTED: { status: 422, title: 'The model cannot give this output', retryable: false },
  RATE_LIMITED: { status: 429, title: 'The client asks for too much at once', retryable: true },
  HEADERS_TOO_LARGE: { status: 431, title: 'The headers of the request are too large', retryable: false },
  INFERENCE_FAILED: { status: 500, title: 'The inference failed', retryable: false },
  NOT_IMPLEMENTED: { status: 501, title: 'The server does not offer this', retryable: false },
  QUEUE_FULL: { status: 503, title: 'The server is at capacity', retryable: true },
  MODEL_NOT_READY: { status: 503, title: 'The model is not ready', retryable: true },
  DRAINING: { status: 503, title: 'The server is shutting down', retryable: true },
  WORKER_LOST: { status: 503, title: 'A worker was lost, and again on the retry', retryable: true },
  DEADLINE_EXCEEDED: { status: 504, title: 'The deadline passed before the answer', retryable: true },
} as const satisfies Record<string, { status: number; title: string; retryable: boolean }>;

export type ErrorCode = keyof typeof ERROR_TABLE;

/** The limits that a request is refused for: what each bounds, and the setting that it comes from. */
export const LIMITS = {
  connections: 'connections of the server (FULLCONV_MAX_CONNECTIONS)',
  connections_per_address: 'connections of one address (FULLCONV_MAX_CONNECTIONS_PER_ADDRESS)',
  pipelined: 'requests of one connection that wait for their answers',
  headers_bytes: 'bytes of the address and headers of a request',
  headers_time: 'milliseconds until the headers have come',
  request_time: 'milliseconds until the body, or an image from a URL, has come (FULLCONV_REQUEST_TIMEOUT_MS)',
  body_rate: 'bytes a second of a body, or of an image from a URL: the least (FULLCONV_MIN_RATE)',
  body_bytes: 'bytes of a body, or of an image from a URL (FULLCONV_MAX_BYTES)',
  chunk_extension_bytes: 'bytes of the extensions of a chunk',
  bodies_bytes: 'bytes of all bodies in the server (FULLCONV_MAX_BODIES_BYTES)',
  bodies_bytes_per_address: 'bytes of the bodies of one address: as many as are free beside them',
  requests_per_second: 'requests a second of a key',
  images_at_once: 'images of a key in the server at once',
  cost_per_minute: 'GMAC (10⁹ multiply-adds) a minute of a key',
  fetches: 'images that are fetched from URLs (FULLCONV_MAX_FETCHES)',
  fetches_per_host: 'images that are fetched from one host: as many as are free beside them',
  fetches_per_address: 'images that are fetched for one address: as many as are free beside them',
  images: 'images, or images × scales, of a request (FULLCONV_MAX_IMAGES)',
  form_fields: 'text fields of a form',
  form_fields_bytes: 'bytes of the text fields of a form',
  passes: 'passes (images × scales × mirrors) in the server (FULLCONV_MAX_QUEUE)',
  waiting_images: 'images that wait for a worker (FULLCONV_MAX_QUEUE)',
  following_requests: 'requests that wait for an answer that is being computed (FULLCONV_MAX_QUEUE)',
  wait_ms: 'milliseconds that a new request would wait for a worker',
  image_pixels: 'pixels of a photo (FULLCONV_MAX_PIXELS)',
  image_scans: 'scans of a photo',
  decode_seconds: 'processor seconds that a photo takes to decode (FULLCONV_MAX_DECODE_SECONDS)',
  decode_bytes: 'bytes that a photo takes to decode',
  input_pixels: 'pixels of an input of the network (FULLCONV_MAX_INPUT_PIXELS, less where a map is finer)',
  model_memory: 'bytes of all loaded models (FULLCONV_MODEL_MEMORY)',
  model_waits: 'passes that wait for models to be loaded (half of FULLCONV_MAX_QUEUE)',
  run_bytes: 'bytes that a run takes (FULLCONV_MEMORY_MB)',
  run_values: 'values (cells × classes) of the class map of a run',
  maps_bytes: 'bytes of the maps of a request',
  map_values: 'map values (cells × classes × images) of an answer',
  predictions: 'predictions (images × scales × topK) of an answer',
  polygon_corners: 'corners of the polygons of an answer',
  rle_runs: 'run lengths of an answer',
  picture_pixels: 'pixels of a picture (FULLCONV_MAX_PIXELS)',
  picture_side: 'pixels of a side of a picture in its format',
  picture_seconds: 'processor seconds that a picture takes (FULLCONV_MAX_DRAW_SECONDS)',
  picture_bytes: 'bytes that a picture takes (half of FULLCONV_MEMORY_MB)',
} as const satisfies Readonly<Record<string, string>>;

export type LimitName = keyof typeof LIMITS;

/** A limit that a request goes beyond. */
export interface ExceededLimit {
  readonly name: LimitName;
  /** In the unit that LIMITS names. */
  readonly value: number;
  /** What the request needs, or the least that is known of it; absent if nothing is known. */
  readonly needed?: number;
}

/** One wrong parameter: where it is, what is wrong with it. */
export interface ParameterError {
  /** The parameter's name as the client wrote it, e.g. `topK`, or a JSON path such as `images[2].base64`. */
  parameter: string;
  detail: string;
}

/** A failure that the client may be told about: `detail` is public, `cause` stays in the log. */
export class ServiceError extends Error {
  readonly code: ErrorCode;
  /** One entry for each wrong parameter, in the order of the request. */
  readonly errors: readonly ParameterError[];
  /** Whole seconds after which a retry is worth it; sent as Retry-After. */
  readonly retryAfterS: number | undefined;
  /** The limit that the request goes beyond, if that is the reason. */
  readonly limit: ExceededLimit | undefined;

  constructor(
    code: ErrorCode,
    detail: string,
    options: {
      cause?: unknown;
      errors?: readonly ParameterError[];
      retryAfterS?: number;
      limit?: ExceededLimit | undefined;
    } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ServiceError';
    this.code = code;
    this.errors = options.errors ?? [];
    this.limit = options.limit;
    this.retryAfterS = options.retryAfterS ?? (ERROR_TABLE[code].retryable ? 1 : undefined);
  }

  get status(): number {
    return ERROR_TABLE[this.code].status;
  }

  /** Whether the same request may succeed a little later. */
  get retryable(): boolean {
    return ERROR_TABLE[this.code].retryable;
  }
}

/**
 * An error that the operator can put right: a setting, a file, a model. The message says which and how; it is for the
 * log and the terminal, not for clients. The command line prints it without a stack.
 */
export class OperatorError extends Error {
  override name = 'OperatorError';
}

/** A flag, a setting or a name that cannot work. Trying again does not help; asking for something else does. */
export class UsageError extends OperatorError {
  override name = 'UsageError';
}

/** A device, a model or a server that fails at present, whatever it is asked. */
export class UnavailableError extends OperatorError {
  override name = 'UnavailableError';
}

/**
 * A process that works for the server ended before it answered. The question may have been the cause, or only near it.
 * Its cause is an OperatorError where the engine cannot be loaded before somebody does something about it.
 */
export class WorkerLostError extends Error {
  override readonly name = 'WorkerLostError';
}

/** The client has closed the connection; there is nobody to answer. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError';

  constructor() {
    super('the client has gone');
  }
}

/** Bring anything thrown into the table: a ServiceError stays, everything else becomes INFERENCE_FAILED with a cause. */
export function toServiceError(thrown: unknown): ServiceError {
  if (thrown instanceof ServiceError) return thrown;
  return new ServiceError('INFERENCE_FAILED', 'The server failed to compute the answer.', { cause: thrown });
}

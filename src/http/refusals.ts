/** What clients are refused or hung up on for before anything is computed, by the limit. The metrics count each. */
export const REFUSALS = {
  connections: 'more connections than FULLCONV_MAX_CONNECTIONS',
  connections_per_address: 'more connections of one address than FULLCONV_MAX_CONNECTIONS_PER_ADDRESS',
  tls_handshake: 'no TLS, or a handshake that failed or did not come in time',
  pipelined: 'too many requests on one connection that wait for their answers',
  headers_time: 'headers that did not come in time',
  headers_bytes: 'headers that are too large',
  malformed: 'bytes that are not HTTP, an address with a #, or a request that breaks off',
  request_time: 'a request that took longer than FULLCONV_REQUEST_TIMEOUT_MS to arrive',
  body_rate: 'a body slower than FULLCONV_MIN_RATE',
  body_bytes: 'a body larger than FULLCONV_MAX_BYTES',
  body_chunks: 'a body in countless tiny chunks',
  bodies_bytes: 'FULLCONV_MAX_BODIES_BYTES were in use',
  bodies_bytes_per_address: 'the bodies of one address had as many bytes as were free beside them',
  answer_rate: 'an answer that its client took slower than FULLCONV_MIN_RATE',
  answers_bytes: 'FULLCONV_MAX_ANSWERS_BYTES were in use, and this client took nothing of its answer',
  fetches: 'FULLCONV_MAX_FETCHES images were being fetched from URLs',
  fetches_per_host: 'as many of them from one host as were free beside them',
  fetches_per_address: 'as many of them for one address as were free beside them',
  signature: 'a signed address that is over, or is not as it was signed',
  host: 'a Host that is not this server',
  cross_site: 'a page of another origin',
} as const;

export type Refusal = keyof typeof REFUSALS;

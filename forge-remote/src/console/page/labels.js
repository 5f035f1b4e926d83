// The names of the API's values.

const OUTCOMES = { running: 'running', passed: 'passed', needs_body: 'needs a body', failed: 'failed' };

export const ORIGINS = { schedule: 'the schedule', console: 'this page', invoke: 'the invoke command' };

export const FORGERIES = {
  expired: 'expired',
  other_app: "another app's audience",
  unknown_key: 'unknown key id',
  other_signer: "another signer's key",
  no_token: 'missing',
  two_tokens: 'two Authorization headers',
};

/** The outcome of a call. A forged one passes if it is rejected. */
export function outcomeOf(call) {
  return call.forgery && call.outcome === 'passed' ? 'rejected as expected' : OUTCOMES[call.outcome];
}

/** The status of a call, in the width of three digits. */
export function status(call) {
  if (call.outcome === 'running') return '…';
  return call.status === null ? '—' : String(call.status);
}

export const forgery = (call) => `FIT: ${FORGERIES[call.forgery] ?? call.forgery}`;
